"""How a model is called when it is looked at, as many images at a time as memory allows."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.data.images import Stored, evenly

_BYTES = 2**28
_HELD_BYTES = 2**28
"""Of pixels, as they are stored."""
_MOST = 250
_COPIES = 3
"""Of each operation's output: itself, its gradient or what is made of it, and what an operation needs beside them."""


def sample(images: NDArray[Any] | Stored, most: int) -> NDArray[np.intp]:
    """As `evenly`, of the images, and fewer where so many would take more than 256 MiB of memory."""
    return evenly(len(images), min(most, max(1, _HELD_BYTES * len(images) // images.nbytes)))


@tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
def infer(model: Callable[[tf.Tensor], Any], images: tf.Tensor) -> Any:
    """What a model gives for images as in `predict`, and its weights stay as they are.

    Layers that augment or drop at random pass on what they get, and batch normalization takes its moving statistics and
    leaves them. Keras's random layers do so only where they are told: their `training` is True unless somebody says
    otherwise. A callable that is no Keras model is called as it is. Nothing is translated by AutoGraph, which takes
    longer than tracing does: Keras's own `predict` doesn't either.
    """
    return model(images, training=False) if isinstance(model, keras.Layer) else model(images)


def images_at_once(model: keras.Model) -> int:
    """How many images may go through the model together, with a gradient or without."""
    outputs = [tensor for operation in model.operations for tensor in keras.tree.flatten(operation.output)]
    values = sum(int(np.prod(tensor.shape[1:])) for tensor in outputs)
    return max(1, min(_MOST, _BYTES // (4 * _COPIES * values)))


def batches(model: keras.Model, images: NDArray[Any]) -> Iterator[tuple[int, tf.Tensor]]:
    """Where a batch begins, and the batch in float32; images are (n, height, width, channels)."""
    size = images_at_once(model)
    for first in range(0, len(images), size):
        yield first, tf.constant(images[first : first + size], tf.float32)
