import numpy as np
import pytest
from numpy.typing import NDArray

from harness.data import sources


@pytest.fixture(scope="session")
def digits() -> NDArray[np.uint8]:
    """300 real test images, enough for each filter to have its own best."""
    return sources.load("mnist").x_test[:300]
