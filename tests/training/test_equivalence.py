"""One global batch gives one result, on however many replicas and in however many micro-batches it is computed."""

import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.initializers import GlorotUniform

from harness.cluster.batch import BatchPlan
from harness.cluster.strategy import Cluster, connect
from harness.config import Config, resolve
from harness.config.cluster import ClusterSection
from harness.data import sources
from harness.data.order import rows
from harness.data.sources import Split
from harness.models.build import builder
from harness.training.compile import compiled_chunk
from harness.training.events import Events
from harness.training.source import Source
from harness.training.state import State

STEPS = 50
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}


@pytest.fixture(scope="module")
def train() -> Split:
    """Few enough for several epochs."""
    mnist = sources.load("mnist")
    return Split(mnist.x_train[:150], mnist.y_train[:150])


def cluster(replicas: int) -> Cluster:
    return connect(ClusterSection(logical_cpus=replicas))


def config(global_batch: int, micro_batch: int | None, momentum: float = 0.0) -> Config:
    return resolve(
        {
            "data": {"shift": 2},
            "train": {"length": f"{STEPS} steps", "global_batch": global_batch, "micro_batch": micro_batch},
            "optimizer": {"name": "sgd", "learning_rate": 0.01, "momentum": momentum},
            "schedule": {"name": "constant", "warmup": "0 steps"},
        }
    )


def model(setting: Config, dtype: str) -> Callable[[], keras.Model]:
    if dtype == "float64":
        return builder(setting, (28, 28, 1), 10, dtype)

    def smooth() -> keras.Model:
        layers = keras.layers
        pixels = keras.Input((28, 28, 1))
        x = layers.Rescaling(1 / 255)(pixels)
        for number, filters in enumerate((4, 8)):
            x = layers.Conv2D(filters, 3, activation="tanh", kernel_initializer=GlorotUniform(number))(x)
            x = layers.AveragePooling2D(2)(x)
        x = layers.Dense(10, kernel_initializer=GlorotUniform(2))(layers.Flatten()(x))
        return keras.Model(pixels, x)

    return smooth


def trained(train: Split, global_batch: int, replicas: int, micro_batch: int | None, dtype: str) -> list[Any]:
    """The weights after 50 SGD steps: of the `cnn` in float64 with momentum, of a smooth network in float32.

    For rounding differs with the number of rows in a convolution, and in float32 it turns single ReLUs at zero on or
    off (seen: 0 and 7e-7) on one processor or the other, a jump in a gradient that has nothing to do with replicas:
    1.9e-4 of a kernel after 50 steps of the `cnn` was seen.
    """
    momentum = 0.9 if dtype == "float64" else 0.0
    setting, place = config(global_batch, micro_batch, momentum), cluster(replicas)
    state = State(setting, place, Events.of(setting, len(train)), model(setting, dtype))
    result = compiled_chunk(setting, place, state, train, 0, pytest.fail)(STEPS)
    assert result.steps == STEPS
    return [weight.numpy() for weight in state.model.trainable_variables]


@pytest.fixture(scope="module")
def on_one_replica(train: Split) -> Callable[[int, str], list[Any]]:
    """The reference, computed once for each batch and dtype."""
    known: dict[tuple[int, str], list[Any]] = {}

    def reference(global_batch: int, dtype: str) -> list[Any]:
        if (global_batch, dtype) not in known:
            known[global_batch, dtype] = trained(train, global_batch, 1, None, dtype)
        return known[global_batch, dtype]

    return reference


SHARED = [
    (16, 2, None, "float32"),
    (18, 4, None, "float32"),
    (18, 1, 4, "float32"),
    (16, 2, 4, "float32"),
    (18, 2, None, "float64"),
    (18, 4, 3, "float64"),
]
"""Global batch, replicas, micro-batch and dtype."""


@pytest.mark.parametrize(
    ("global_batch", "replicas", "micro_batch", "dtype"),
    [pytest.param(*case, marks=[pytest.mark.slow] if case[3] == "float64" else []) for case in SHARED],
)
def test_weights_after_50_steps_are_those_of_one_replica(
    train: Split, on_one_replica: Any, global_batch: int, replicas: int, micro_batch: int | None, dtype: str
) -> None:
    expected = on_one_replica(global_batch, dtype)
    actual = trained(train, global_batch, replicas, micro_batch, dtype)
    for one, many in zip(expected, actual, strict=True):
        assert one.dtype == many.dtype == np.dtype(dtype)
        assert np.linalg.norm(many - one) / np.linalg.norm(one) < TOLERANCE[dtype]


@pytest.mark.parametrize(
    ("replicas", "global_batch", "micro_batch"),
    [(1, 16, None), (1, 18, 4), (2, 16, 4), (2, 15, None), (4, 16, None), (4, 18, 3)],
)
def test_replicas_see_the_same_examples_in_the_same_order(
    train: Split, replicas: int, global_batch: int, micro_batch: int | None
) -> None:
    setting, place = config(global_batch, micro_batch), cluster(replicas)
    batches = Source(setting, place, train, 3, on_device=False, block=None).batches()
    seen: list[Any] = []
    micro_batches = BatchPlan.of(setting.train, replicas).micro_batches
    assert (micro_batches > 1) == (micro_batch is not None)
    for _ in range(20):  # more than an epoch
        of_step = [place.next(batches) for _ in range(micro_batches)]
        for replica, micro in itertools.product(range(replicas), range(micro_batches)):
            images, labels, weights, positions = (
                place.strategy.experimental_local_results(part) for part in of_step[micro][:4]
            )
            real = weights[replica].numpy() == 1
            seen.extend(positions[replica].numpy()[real])
            expected = rows(tf.constant(positions[replica]), setting.seed, len(train)).numpy()
            np.testing.assert_array_equal(images[replica].numpy()[real], train.images[expected[real]])
            np.testing.assert_array_equal(labels[replica].numpy()[real], train.labels[expected[real]])
    np.testing.assert_array_equal(seen, np.arange(3 * global_batch, 23 * global_batch))
