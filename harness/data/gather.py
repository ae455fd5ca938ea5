"""Images and labels by row number inside a `tf.data` pipeline, wherever they lie."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.data.images import Images, Stored, can_be_lent
from harness.errors import DataError


def gather(images: Images) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function of rows, int64 of any shape, that gives their images, uint8 (*rows, height, width, channels).

    Images in memory and those of a mapped file are read where they lie, without Python and without a copy; an array
    that can't be lent is copied into a tensor once. Those of an object of the user's are read by its `read`, in the
    threads of the pipeline.
    """
    if not isinstance(images, Stored):
        held = _sharing_memory(images) if can_be_lent(images) else tf.constant(images)
        return lambda row: tf.gather(held, row)
    place = _place(images.rows)
    if images.mapped is not None and can_be_lent(images.mapped):
        mapped = _sharing_memory(images.mapped)
        return lambda row: tf.gather(mapped, place(row))

    def read(row: tf.Tensor) -> tf.Tensor:
        flat = tf.numpy_function(images.read, [tf.reshape(place(row), [-1])], tf.uint8)
        shaped = tf.reshape(flat, tf.concat([tf.shape(row), images.shape[1:]], axis=0))
        shaped.set_shape([*row.shape, *images.shape[1:]])
        return shaped

    return read


def gather_labels(labels: NDArray[np.int32]) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function of rows, int64 of any shape, that gives their labels, int64 of that shape.

    Each is kept in as few bytes as the largest needs: labels of millions of rows take less memory, and less of a cache.
    """
    held = tf.constant(labels.astype(np.min_scalar_type(labels.max(initial=0))))
    return lambda row: tf.cast(tf.gather(held, row), tf.int64)


@contextmanager
def data_errors() -> Iterator[None]:
    """Raise DataError for what TensorFlow makes of one that `read` has raised inside a pipeline."""
    try:
        yield
    except tf.errors.OpError as error:
        if found := re.search(r"\bDataError: (.*)", error.message):
            raise DataError(found[1]) from None
        raise


def _place(rows: range | NDArray[np.int64]) -> Callable[[tf.Tensor], tf.Tensor]:
    """The number in the store of an image here."""
    if isinstance(rows, range):
        return lambda row: rows.start + rows.step * row
    numbers = tf.constant(rows, tf.int64)
    return lambda row: tf.gather(numbers, row)


def _sharing_memory(array: NDArray[np.uint8]) -> tf.Tensor:
    """A tensor of the same memory, which it keeps mapped for as long as it lives.

    `tf.constant` would copy it. NumPy lends out by DLPack what may be written alone, so this is marked as such;
    nothing writes to a tensor.
    """
    with tf.device("CPU"):
        return tf.experimental.dlpack.from_dlpack(np.asarray(_Writable(array)).__dlpack__())


class _Writable:
    def __init__(self, array: NDArray[np.uint8]) -> None:
        self._array = array  # keeps the memory
        interface: dict[str, Any] = dict(array.__array_interface__)
        self.__array_interface__ = interface | {"data": (array.ctypes.data, False)}
