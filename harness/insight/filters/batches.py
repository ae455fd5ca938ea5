"""Images a batch at a time through a model, as many as memory allows."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

_BYTES = 2**28
_MOST = 250
_COPIES = 3
"""Of each operation's output: itself, its gradient or what is made of it, and what an operation needs beside them."""


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
