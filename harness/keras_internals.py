"""What training reaches for in Keras and TensorFlow beyond their public names.

Checked against Keras 3.15.1 and TensorFlow 2.21.0; each has a test, which is where a newer version shows first. One
more stands in cluster/strategy.py: the class that a strategy over chosen devices extends.
"""

import functools
import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import keras
import tensorflow as tf
from keras.src.backend.tensorflow import nn
from keras.src.optimizers.base_optimizer import BaseOptimizer
from tensorflow.python.framework import config

_Rule = TypeVar("_Rule", bound=keras.optimizers.Optimizer)

_KERAS_MAX_POOL = nn.max_pool
_thread = threading.local()
_PURE = (
    "stateless_apply",
    "assign",
    "assign_add",
    "assign_sub",
    "_apply_weight_decay",
    "_backend_update_step",
    "_backend_increment_gradient_accumulators",
    "_backend_reset_gradient_accumulators",
    "_var_key",
)


def pure(rule: type[_Rule]) -> type[_Rule]:
    """A subclass of one of Keras's optimizers whose `stateless_apply` works on TensorFlow.

    Keras refuses there, as its optimizers for TensorFlow update through tf.distribute. The methods that do are replaced
    by those that all backends inherit, which say the same in pure operations; nothing looks across replicas any more.
    """
    return type(rule.__name__, (rule,), {name: getattr(BaseOptimizer, name) for name in _PURE})


@contextmanager
def strided_max_pooling() -> Iterator[None]:
    """While entered, what this thread traces has `strided_max_pool` in place of each of Keras's max poolings.

    By thread, as the replicas of a strategy are traced in one each, and take turns in the middle of a layer.
    """
    nn.max_pool = _max_pool
    before, _thread.is_strided = _is_strided(), True
    try:
        yield
    finally:
        _thread.is_strided = before


def _max_pool(*args: Any, **kwargs: Any) -> tf.Tensor:
    return (strided_max_pool if _is_strided() else _KERAS_MAX_POOL)(*args, **kwargs)


def _is_strided() -> bool:
    return getattr(_thread, "is_strided", False)


def strided_max_pool(
    inputs: tf.Tensor,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> tf.Tensor:
    """Max pooling as the maximum of strided slices, one for each place in the window.

    Values are Keras's to the bit; so are gradients wherever a window has one maximum; of several the first gets all.
    The gradient is made of selects and pads, which are deterministic under XLA; "GPU MaxPool gradient ops do not yet
    have a deterministic XLA implementation".

    Args:
        inputs: (n, side, …, channels), or (n, channels, side, …); sides of unknown length are left to Keras's own.
        pool_size, strides, padding, data_format: as keras.ops.max_pool takes them.
    """
    axes = range(1, inputs.ndim - 1)
    if (data_format or keras.config.image_data_format()) == "channels_first":
        axes = range(2, inputs.ndim)
    if any(inputs.shape[axis] is None for axis in axes):
        return _KERAS_MAX_POOL(inputs, pool_size, strides, padding, data_format)
    windows = _each(pool_size, len(axes))
    steps = _each(pool_size if strides is None else strides, len(axes))
    paddings, outputs = [[0, 0] for _ in inputs.shape], []
    for axis, window, step in zip(axes, windows, steps, strict=True):
        side = inputs.shape[axis]
        if padding.lower() == "same":
            outputs.append(-(-side // step))
            missing = max(0, (outputs[-1] - 1) * step + window - side)
            paddings[axis] = [missing // 2, missing - missing // 2]
        else:
            outputs.append((side - window) // step + 1)
    if any(map(any, paddings)):
        inputs = tf.pad(inputs, paddings, constant_values=tf.constant(float("-inf"), inputs.dtype))

    def part(offsets: tuple[int, ...]) -> tf.Tensor:
        cut = [slice(None)] * inputs.ndim
        for axis, offset, output, step in zip(axes, offsets, outputs, steps, strict=True):
            cut[axis] = slice(offset, offset + (output - 1) * step + 1, step)
        return inputs[tuple(cut)]

    return functools.reduce(tf.maximum, map(part, itertools.product(*map(range, windows))))


def _each(value: int | Sequence[int], count: int) -> tuple[int, ...]:
    return (value,) * count if isinstance(value, int) else tuple(value)


def is_op_determinism_enabled() -> bool:
    """Whether TensorFlow refuses kernels that may give other bits each time."""
    return bool(config.is_op_determinism_enabled())


def disable_op_determinism() -> None:
    """Undo tf.config.experimental.enable_op_determinism, which has no public counterpart."""
    config.disable_op_determinism()


def optimizer_moments(optimizer: keras.optimizers.Adam) -> int:
    """Where in `optimizer.variables` the second moments of the only weight stand."""
    (moment,) = optimizer._velocities
    return next(index for index, variable in enumerate(optimizer.variables) if variable is moment)


def graph_layers(model: keras.Model) -> list[Any]:
    """All layers of a model, however deep inside others, itself left out."""
    return [layer for layer in model._flatten_layers() if layer is not model]


def draws_at_random(layer: keras.layers.Layer) -> bool:
    """Whether a layer draws: what it draws from is then a variable of its own."""
    return bool(layer._seed_generators)


@contextmanager
def function_graph() -> Iterator[None]:
    """While entered, this thread traces operations as in a tf.function, and computes none.

    TensorFlow does not begin to run for it, as it would for a tf.function: its devices may still be configured.
    """
    with tf.__internal__.FuncGraph("traced").as_default():
        yield
