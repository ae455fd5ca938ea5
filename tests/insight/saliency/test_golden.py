"""What each method gives on a fixed model and fixed images: what changes these numbers changes everybody's maps."""

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.insight.saliency import METHODS
from harness.models.cnn import build

GOLDEN = {
    "gradient": [1.021e-05, 2.194e-06, 8.464e-06, 7.005e-06],
    "gradient_times_input": [0.0006434, -0.000498, 0.002124, 0.000896],
    "smoothgrad": [6.223e-06, 3.881e-06, 3.43e-06, 2.624e-06],
    "integrated_gradients": [0.0001274, 0.001248, 0.000588, 0.0005989],
    "contrast": [9.874e-05, 0.002695, 0.0005793, 0.0008349],
    "lrp": [-0.0002167, -5.974e-05, -2.791e-09, 0.0001138],
    "occlusion": [-0.01166, -0.002604, 8.038e-05, 0.004316],
    "rise": [0.1219, 0.09814, 0.1367, 0.1033],
    "gradcam": [0.02958, 0, 0.01553, 0.007246],
    "gradcam_plus_plus": [0.4727, 0.1148, 0.4264, 0.1887],
    "scorecam": [0.7763, 0.5904, 0.8187, 0.3896],
    "layercam": [0.08959, 0.0314, 0.06495, 0.05259],
    "ablationcam": [0.2273, 0, 0.05289, 0.05355],
    "guided_backpropagation": [1.214e-06, 2.361e-05, 9.458e-06, 7.143e-06],
}
"""Three pixels of three images, and the mean of |map|."""


@pytest.fixture(scope="module")
def biased() -> keras.Model:
    """The default model, untrained, with biases: without them it is homogeneous, and methods that differ agree."""
    model = build("cnn", (28, 28, 1), 10, seed=1)
    for weight in model.weights:
        if weight.name == "bias":
            weight.assign(np.linspace(-0.2, 0.2, weight.shape[0]))
    return model


@pytest.mark.parametrize("method", METHODS)
def test_golden_values(method: str, biased: keras.Model, images: NDArray[np.uint8], labels: NDArray[np.int32]) -> None:
    maps = METHODS[method].explain(biased, images, labels)
    found = [maps[0, 7, 20], maps[2, 13, 17], maps[5, 21, 9], np.abs(maps).mean()]
    np.testing.assert_allclose(found, GOLDEN[method], rtol=2e-3, atol=1e-4 * GOLDEN[method][3])
