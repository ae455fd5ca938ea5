"""Max pooling as the maximum of strided slices, one for each place in the window."""

import functools
import itertools
from collections.abc import Sequence

import keras
import tensorflow as tf


def strided_max_pool(
    inputs: tf.Tensor,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> tf.Tensor:
    """The maximum of each window, in the dtype of the inputs.

    Values are Keras's to the bit; so are gradients wherever a window has one maximum; of several the first gets all.
    The gradient is made of selects and pads, which are deterministic under XLA; "GPU MaxPool gradient ops do not yet
    have a deterministic XLA implementation".

    Args:
        inputs: (n, side, …, channels), or (n, channels, side, …), of any float dtype; all sides known.
        pool_size, strides, padding, data_format: as keras.ops.max_pool takes them.
    """
    axes = range(1, inputs.ndim - 1)
    if (data_format or keras.config.image_data_format()) == "channels_first":
        axes = range(2, inputs.ndim)
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
