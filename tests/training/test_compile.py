"""What is done where a model's operations have no kernel that is deterministic, or that XLA could compile."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.cluster.strategy import Cluster
from harness.config import Config
from harness.data.sources import Split
from harness.errors import ConfigError
from harness.keras_internals import disable_op_determinism, is_op_determinism_enabled
from harness.training.compile import compiled_chunk
from harness.training.events import Events
from harness.training.fused import Fused
from harness.training.state import State
from harness.training.stepwise import Stepwise

SmallTraining = Callable[..., Config]


class Rotated(keras.layers.Layer):  # type: ignore[misc]
    """Holds an operation that XLA has no kernel for."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=inputs,
            transforms=tf.constant([[1.0, 0, 1, 0, 1, 0, 0, 0]]),
            output_shape=tf.constant([28, 28]),
            fill_value=0.0,
            interpolation="NEAREST",
        )


class OnlyInSomeOrder(keras.layers.Layer):  # type: ignore[misc]
    """As an operation whose kernel adds in any order, on a device where it has no other."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if is_op_determinism_enabled():
            raise tf.errors.UnimplementedError(None, None, "no deterministic implementation [[{{node shaky/Sum}}]]")
        return inputs


def model_with(layer: keras.layers.Layer) -> Callable[[], keras.Model]:
    pixels = keras.Input((28, 28, 1))
    return lambda: keras.Model(pixels, keras.layers.Dense(10)(keras.layers.Flatten()(layer(pixels))))


@pytest.fixture
def compiled(replicas: Callable[[int], Cluster], train_rows: Split) -> Callable[..., tuple[Any, list[str]]]:
    """A chunk of that model and the warnings on the way to it."""

    def compile_it(config: Config, model: Callable[[], keras.Model], **how: Any) -> tuple[Any, list[str]]:
        warnings: list[str] = []
        cluster = replicas(1)
        state = State(config, cluster, Events.of(config, len(train_rows)), model)
        return compiled_chunk(config, cluster, state, train_rows, 0, warnings.append, **how), warnings

    return compile_it


@pytest.fixture
def _deterministic() -> Iterator[None]:
    tf.config.experimental.enable_op_determinism()
    yield
    disable_op_determinism()


def test_what_xla_cannot_compile_is_named_and_trained_without(compiled: Any, small_training: SmallTraining) -> None:
    config = small_training(train={"length": "2 steps", "global_batch": 2})
    chunk, (warning,) = compiled(config, model_with(Rotated(name="turned")), jit=True)
    assert isinstance(chunk.steps, Stepwise)
    assert chunk(2).steps == 2
    assert "XLA" in warning
    assert "layer turned" in warning


def test_where_xla_is_asked_for_that_is_a_mistake(compiled: Any, small_training: SmallTraining) -> None:
    config = small_training(train={"length": "2 steps", "global_batch": 2, "jit": "on"})
    with pytest.raises(ConfigError, match=r"^train\.jit: .*layer turned") as refused:
        compiled(config, model_with(Rotated(name="turned")))
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("_deterministic")
def test_what_is_not_deterministic_is_named_and_trained(
    compiled: Any, small_training: SmallTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_training(train={"length": "2 steps", "global_batch": 2})
    chunk, (warning,) = compiled(config, lambda: shaky())
    assert chunk(2).steps == 2
    assert "Sum of layer shaky has no deterministic kernel" in warning
    assert not is_op_determinism_enabled()


@pytest.mark.usefixtures("_deterministic")
def test_xla_is_given_up_before_determinism(compiled: Any, small_training: SmallTraining) -> None:
    config = small_training(train={"length": "2 steps", "global_batch": 2})
    chunk, warnings = compiled(config, lambda: shaky(), jit=True)
    assert ["XLA" in warning for warning in warnings] == [True, False]
    assert isinstance(chunk.steps, Stepwise)


@pytest.mark.usefixtures("_deterministic")
def test_where_determinism_is_asked_for_that_is_a_mistake(compiled: Any, small_training: SmallTraining) -> None:
    config = small_training(train={"length": "2 steps", "global_batch": 2, "deterministic": True})
    with pytest.raises(ConfigError, match=r"^train\.deterministic: .*layer shaky") as refused:
        compiled(config, lambda: shaky())
    assert "\n" not in str(refused.value)


def shaky() -> keras.Model:
    """Built while anything is allowed: it is training that has to find out."""
    disable_op_determinism()
    try:
        return model_with(OnlyInSomeOrder(name="shaky"))()
    finally:
        tf.config.experimental.enable_op_determinism()


def test_a_model_that_xla_compiles_is_told_nothing(compiled: Any, small_training: SmallTraining) -> None:
    config = small_training(train={"length": "2 steps", "global_batch": 2, "jit": "on"})
    chunk, warnings = compiled(config, model_with(keras.layers.ReLU()))
    assert isinstance(chunk.steps, Fused)
    assert not warnings


def synchronized() -> keras.Model:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((28, 28, 1))
    x = keras.layers.BatchNormalization(synchronized=True, name="norm")(keras.layers.Rescaling(1 / 255)(pixels))
    return keras.Model(pixels, keras.layers.Dense(10)(keras.layers.Flatten()(x)))


@pytest.mark.slow
def test_statistics_over_replicas_are_those_of_one(
    begin: Callable[..., tuple[State, Any]], small_training: SmallTraining
) -> None:
    config = small_training(train={"length": "2 steps", "global_batch": 8, "jit": "on"})
    (one, chunk_of_one), (two, chunk_of_two) = begin(config, 1, synchronized), begin(config, 2, synchronized)
    assert chunk_of_two(2).loss == pytest.approx(chunk_of_one(2).loss, rel=1e-5)
    for expected, actual in zip(one.model.variables, two.model.variables, strict=True):
        np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=1e-4, atol=1e-6, err_msg=actual.path)
