"""Images that are read by row number: arrays in memory, and what lies in a file or behind an object of the user's."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64
"""Bytes; TensorFlow copies what does not lie at a multiple of it."""
_COMPARED_AT_A_TIME = 256

RowNumbers: TypeAlias = NDArray[np.int64]
Read: TypeAlias = Callable[[RowNumbers], NDArray[np.uint8]]
"""Row numbers, int64 (n,) → uint8 (n, height, width, channels)."""


class Stored:
    """Images outside this process's memory, or some of an array's, indexed like an array (n, height, width, channels)
    of uint8.

    What an index, a slice, an array of rows or a mask picks out is read into memory, and nothing else; `view` picks
    rows without reading any.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        read: Read,
        rows: range | RowNumbers,
        image_shape: tuple[int, int, int],
        mapped: NDArray[np.uint8] | None = None,
    ) -> None:
        """
        Args:
            read: gives images by their numbers in what stores them.
            rows: those numbers, by the images' numbers here.
            image_shape: height, width, channels.
            mapped: where the images are the bytes of a file or an array just as they are, that, (all, height, width,
                channels).
        """
        self.read = read
        self.rows = rows
        self.mapped = mapped
        self.shape = (len(rows), *image_shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the images in memory, all of them."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, key: int | np.integer[Any]) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, key: slice | NDArray[Any] | list[int]) -> NDArray[np.uint8]: ...
    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        if isinstance(key, int | np.integer):
            (image,) = self.read(np.array([self.rows[int(key)]], np.int64))
            return np.asarray(image)
        return self.read(np.asarray(_picked(self.rows, key), np.int64))

    def view(self, key: slice | NDArray[Any]) -> "Stored":
        """The images of those rows, of which none is read."""
        return Stored(self.read, _picked(self.rows, key), self.shape[1:], self.mapped)


Images: TypeAlias = NDArray[np.uint8] | Stored
"""(n, height, width, channels) uint8."""


def view(images: Images, key: slice | NDArray[Any]) -> Images:
    """Some rows of the images. They share the memory of an array, but for a copy of single rows of one that can't be
    lent."""
    if isinstance(images, Stored):
        return images.view(key)
    return images[key] if isinstance(key, slice) or not can_be_lent(images) else of_array(images).view(key)


def can_be_lent(array: NDArray[np.uint8]) -> bool:
    """Whether TensorFlow can use an array where it lies."""
    return array.flags.c_contiguous and array.ctypes.data % ALIGNMENT == 0


def aligned(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The array itself where it can be lent, else a copy that can."""
    if can_be_lent(array):
        return array
    memory = np.empty(array.nbytes + ALIGNMENT, np.uint8)
    begin = -memory.ctypes.data % ALIGNMENT
    copy = memory[begin : begin + array.nbytes].reshape(array.shape)
    copy[:] = array
    return copy


def equal(one: Images, other: Images) -> bool:
    """Whether the images are the same, which takes no more memory than a few of them."""
    if one.shape != other.shape:
        return False
    starts = range(0, len(one), _COMPARED_AT_A_TIME)
    parts = (slice(at, at + _COMPARED_AT_A_TIME) for at in starts)
    return all(np.array_equal(one[part], other[part]) for part in parts)


def is_mapped(array: NDArray[Any]) -> bool:
    """Whether an array lies in a file that is read as it is used."""
    return isinstance(array, np.memmap)


def map_file(path: Path) -> NDArray[Any]:
    """The array of an .npy file, read as it is used. Raises OSError and ValueError where that can't be."""
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def of_mapped(array: NDArray[np.uint8]) -> Stored:
    """The images of a memory-mapped array, (n, height, width, channels)."""
    return of_array(array.view(np.ndarray))  # a memmap is slow to index


def of_array(plain: NDArray[np.uint8]) -> Stored:
    """The images of an array, (n, height, width, channels), of which none is read yet."""
    height, width, channels = plain.shape[1:]
    as_is = plain if plain.flags.c_contiguous else None
    return Stored(lambda rows: np.take(plain, rows, axis=0), range(len(plain)), (height, width, channels), as_is)


def _picked(rows: range | RowNumbers, key: Any) -> range | RowNumbers:
    if isinstance(key, slice):
        return rows[key]
    if isinstance(rows, range):
        picked = np.arange(len(rows))[key] if np.asarray(key).dtype == bool else _within(np.asarray(key), len(rows))
        return np.asarray(rows.start + rows.step * picked, np.int64)
    return np.asarray(rows[key])


def _within(rows: NDArray[Any], count: int) -> NDArray[Any]:
    """Row numbers, of which negative ones count from the end. Raises IndexError."""
    rows = np.asarray(rows, np.int64)
    if rows.size and not (-count <= rows.min() and rows.max() < count):
        raise IndexError(f"rows from {rows.min()} to {rows.max()} of {count}")
    return np.where(rows < 0, rows + count, rows)


def evenly(count: int, most: int) -> NDArray[np.intp]:
    """At most so many of the numbers below `count`, evenly spread, with the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.intp))
