"""`train.precision: float16`: the loss scale, the steps it skips, and that replicas agree on both."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.config import Config
from harness.training import loss_scale
from harness.training.chunk import Chunk
from harness.training.state import State

pytestmark = pytest.mark.slow

Begin = Callable[..., tuple[State, Chunk]]
SmallTraining = Callable[..., Config]


def after(scale: float, steps: int, finite: bool, is_taken: bool = True) -> tuple[float, int]:
    held = [tf.constant(scale), tf.constant(steps, tf.int64)]
    new_scale, new_steps = loss_scale.after(held, tf.constant(finite), tf.constant(is_taken))
    return float(new_scale), int(new_steps)


def test_the_scale_follows_its_rule() -> None:
    assert after(2.0**15, 7, finite=True) == (2.0**15, 8)
    assert after(2.0**15, 1999, finite=True) == (2.0**16, 0)
    assert after(2.0**15, 1999, finite=False) == (2.0**14, 0)
    assert after(1.0, 3, finite=False) == (1.0, 0)
    assert after(2.0**24, 1999, finite=True) == (2.0**24, 0)
    assert after(2.0**15, 7, finite=False, is_taken=False) == (2.0**15, 7)


@pytest.fixture(scope="module")
def half(small_training: SmallTraining) -> Callable[..., Config]:
    def config(**train: Any) -> Config:
        return small_training(
            train={"precision": "float16", **train}, optimizer={"learning_rate": 0.01, "momentum": 0.0}
        )

    return config


def scale_of(state: State) -> list[Any]:
    variables = state.variables()
    (scale,) = (variable for path, variable in variables.items() if path.endswith("/loss_scale"))
    (steps,) = (variable for path, variable in variables.items() if path.endswith("/steps_at_loss_scale"))
    return [scale, steps]


def snapshot(state: State) -> dict[str, Any]:
    return {path: variable.numpy() for path, variable in state.variables().items()}


def small_cnn() -> keras.Model:
    """With little for XLA to compile."""
    x = pixels = keras.Input((28, 28, 1), dtype="float32")
    x = keras.layers.Rescaling(1 / 255, dtype="float32")(x)
    first, last = (keras.initializers.GlorotUniform(seed) for seed in (1, 2))
    x = keras.layers.Conv2D(3, 3, strides=2, activation="relu", dtype="mixed_float16", kernel_initializer=first)(x)
    x = keras.layers.Flatten(dtype="mixed_float16")(keras.layers.MaxPooling2D(3, dtype="mixed_float16")(x))
    return keras.Model(pixels, keras.layers.Dense(10, dtype="float32", name="logits", kernel_initializer=last)(x))


@pytest.mark.parametrize(("count", "jit"), [(2, "off"), (1, "on")])
def test_a_gradient_that_overflows_skips_its_step_and_halves_the_scale(
    begin: Begin, half: Callable[..., Config], count: int, jit: str
) -> None:
    state, chunk = begin(half(ema=0.9, jit=jit), count, small_cnn)
    chunk(1)
    scale, steps = scale_of(state)
    assert (scale.numpy(), steps.numpy()) == (2.0**15, 1)
    scale.assign(2.0**28)
    before = snapshot(state)
    result = chunk(1)
    assert result.steps == 1  # it counts as a step: no failure, and its examples are used up
    assert result.loss_scale == 2.0**27
    assert (scale.numpy(), steps.numpy()) == (2.0**27, 0)
    changed = {path for path, value in snapshot(state).items() if not np.array_equal(value, before[path])}
    assert {path.rpartition("/")[2] for path in changed} == {"iteration", "loss_scale", "steps_at_loss_scale"}
    chunk(12)
    assert scale.numpy() <= 2.0**20  # found its way back
    assert not np.array_equal(before["model/logits/kernel"], snapshot(state)["model/logits/kernel"])


def test_a_loss_that_is_not_finite_is_a_failure_all_the_same(begin: Begin, small_training: SmallTraining) -> None:
    state, chunk = begin(small_training(train={"precision": "float16"}, optimizer={"learning_rate": 1e30}))
    result = chunk(10)
    assert 0 < result.steps < 10
    assert np.isfinite(result.loss)
    assert state.optimizer.iterations.numpy() == result.steps


def test_one_and_two_replicas_end_alike(begin: Begin, half: Callable[..., Config]) -> None:
    (one, chunk_of_one), (two, chunk_of_two) = (begin(half(global_batch=9), count, small_cnn) for count in (1, 2))
    for state, chunk in ((one, chunk_of_one), (two, chunk_of_two)):
        scale_of(state)[0].assign(2.0**40)  # too large for any gradient: both skip a step
        assert chunk(1).loss_scale == 2.0**39
        scale_of(state)[0].assign(2.0**12)
    first, second = chunk_of_one(8), chunk_of_two(8)
    assert first.loss_scale == second.loss_scale == 2.0**12
    assert second.loss == pytest.approx(first.loss, rel=1e-3)
    expected, actual = (
        np.concatenate([weight.numpy().ravel() for weight in state.model.trainable_variables]) for state in (one, two)
    )
    assert np.linalg.norm(actual - expected) < 2.0**-11 * np.linalg.norm(expected)  # float16's rounding


def test_float32_has_no_scale(begin: Begin, small_training: SmallTraining) -> None:
    state, chunk = begin(small_training())
    assert chunk(1).loss_scale is None
    assert not [path for path in state.variables() if "scale" in path]
