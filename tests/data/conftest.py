from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from harness.data import sources
from harness.data.sources import Split

Context = Callable[[int, int, int], tf.distribute.InputContext]


@pytest.fixture(scope="session")
def numbered() -> Split:
    """57 real images, each labelled with its own row number."""
    return Split(sources.load("mnist").x_train[:57], np.arange(57, dtype=np.int32))


@pytest.fixture(scope="session")
def context() -> Context:
    """What TensorFlow hands the pipeline of one worker: (replicas, workers, worker)."""

    def new(replicas: int, workers: int = 1, worker: int = 0) -> tf.distribute.InputContext:
        return tf.distribute.InputContext(
            num_input_pipelines=workers, input_pipeline_id=worker, num_replicas_in_sync=replicas
        )

    return new
