"""A network of any layers trains on several replicas as on one: batch statistics, random layers, penalties."""

from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.config import Config
from harness.data.sources import Split
from harness.training.chunk import Chunk
from harness.training.state import State, weights_sha256

Begin = Callable[..., tuple[State, Chunk]]

ZEROS = Split(np.zeros([10, 28, 28, 1], np.uint8), np.zeros(10, np.int32))


def network() -> keras.Model:
    """Batch normalization of images and of vectors, every kind of layer that draws, and a penalty; in float64."""
    layers = keras.layers
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy("float64")
    pixels = keras.Input((28, 28, 1), name="pixels")
    x = layers.AveragePooling2D(4)(layers.Rescaling(1 / 255)(pixels))
    x = layers.Conv2D(8, 3, use_bias=False, name="conv")(layers.GaussianNoise(0.1, name="noise")(x))
    x = layers.Activation("tanh")(layers.BatchNormalization(momentum=0.9, name="norm_1")(x))
    x = layers.SpatialDropout2D(0.2, name="spatial")(layers.Dropout(0.2, name="dropout_1")(x))
    x = layers.Dense(16, activation="tanh", kernel_regularizer="l2", name="dense")(layers.Flatten()(x))
    x = layers.BatchNormalization(momentum=0.9, name="norm_2")(x)
    x = layers.AlphaDropout(0.1, name="alpha")(layers.GaussianDropout(0.1, name="gaussian")(x))
    x = layers.Dense(10, name="logits")(layers.Dropout(0.2, name="dropout_2")(x))
    keras.config.set_dtype_policy("float32")
    return keras.Model(pixels, x)


@pytest.fixture(scope="module")
def trained(begin: Begin, small_training: Callable[..., Config]) -> Callable[..., State]:
    @cache
    def train(count: int) -> State:
        config = small_training(train={"length": "50 steps", "global_batch": 30, "ema": 0.9})
        state, chunk = begin(config, count, network)
        assert chunk(50).steps == 50
        return state

    return train


def relative(one: Any, other: Any) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


@pytest.mark.slow
def test_50_steps_on_several_replicas_end_where_those_on_one_end(trained: Callable[..., State]) -> None:
    one, several = trained(1), trained(4)  # with two rows of padding
    for name, variable in several.variables().items():
        if tf.as_dtype(variable.dtype).is_floating:
            assert relative(variable.numpy(), one.variables()[name].numpy()) < 1e-10, name


@pytest.mark.slow
def test_moving_statistics_move_and_are_averaged(trained: Callable[..., State]) -> None:
    state = trained(4)
    assert state.average is not None
    live, average = (model.get_layer("norm_1").moving_mean.numpy() for model in (state.model, state.average))
    assert np.abs(live).min() > 1e-3
    assert 1e-6 < relative(average, live) < 0.5
    assert all(
        np.array_equal(replica.numpy(), live) for replica in state.model.get_layer("norm_1").moving_mean.value.values
    )


@pytest.mark.slow
def test_they_count_for_the_digest_of_the_weights(trained: Callable[..., State]) -> None:
    model = trained(1).model
    before = weights_sha256(model)
    statistic = model.get_layer("norm_1").moving_mean
    kept = statistic.numpy()
    statistic.assign(kept + 1)
    assert weights_sha256(model) != before
    statistic.assign(kept)
    assert weights_sha256(model) == before


def test_masks_do_not_depend_on_the_micro_batches(begin: Begin, small_training: Callable[..., Config]) -> None:
    """Batch statistics would: so here is none."""

    def dropped() -> keras.Model:
        pixels = keras.Input((28, 28, 1), name="pixels")
        x = keras.layers.Dropout(0.5, name="dropout")(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels)))
        return keras.Model(pixels, keras.layers.Dense(10, kernel_initializer="zeros", name="logits")(x))

    def kernel(count: int, micro_batch: int | None) -> Any:
        state, chunk = begin(small_training(train={"global_batch": 30, "micro_batch": micro_batch}), count, dropped)
        chunk(12)
        return state.model.get_layer("logits").kernel.numpy()

    assert relative(kernel(2, 4), kernel(1, None)) < 1e-5


def test_masks_differ_between_steps_examples_and_seeds(begin: Begin, small_training: Callable[..., Config]) -> None:
    def masked() -> keras.Model:
        """Whose gradient shows which pixels a mask left."""
        pixels = keras.Input((28, 28, 1), name="pixels")
        x = keras.layers.Dropout(0.5, name="dropout")(keras.layers.Flatten()(keras.layers.Rescaling(0, 1)(pixels)))
        return keras.Model(pixels, keras.layers.Dense(2, kernel_initializer="zeros", name="logits")(x))

    def left(seed: int, steps: int) -> Any:
        config = small_training(train={"global_batch": 1}, optimizer={"name": "sgd", "learning_rate": 1, "momentum": 0})
        state, chunk = begin(config.model_copy(update={"seed": seed}), 1, masked, rows=ZEROS)
        kernels = [state.model.get_layer("logits").kernel.numpy()[:, 0]]
        for _ in range(steps):
            chunk(1)
            kernels.append(state.model.get_layer("logits").kernel.numpy()[:, 0])
        return np.diff(kernels, axis=0) != 0

    first, second = left(0, 2)
    assert 0.4 < first.mean() < 0.6  # 784 pixels: 0.5 ± 0.018
    assert 0.4 < (first == second).mean() < 0.6
    assert 0.4 < (first == left(1, 1)[0]).mean() < 0.6


@pytest.mark.slow
def test_one_program_of_many_steps_ends_where_single_steps_end(
    begin: Begin, small_training: Callable[..., Config]
) -> None:
    def normalized() -> keras.Model:
        keras.utils.set_random_seed(1)
        pixels = keras.Input((28, 28, 1), name="pixels")
        x = keras.layers.AveragePooling2D(7)(keras.layers.Rescaling(1 / 255)(pixels))
        x = keras.layers.BatchNormalization(momentum=0.9, name="norm")(
            keras.layers.Conv2D(4, 3, use_bias=False, name="conv")(x)
        )
        x = keras.layers.Dropout(0.2, name="dropout")(keras.layers.Flatten()(x))
        return keras.Model(pixels, keras.layers.Dense(10, name="logits")(x))

    def after(jit: str) -> State:
        state, chunk = begin(small_training(train={"jit": jit}), 1, normalized)
        chunk(12)
        return state

    fused, single = after("on"), after("off")
    for name, variable in fused.variables().items():
        if tf.as_dtype(variable.dtype).is_floating:
            assert relative(variable.numpy(), single.variables()[name].numpy()) < 1e-4, name
