"""A data set in numbers: rows of each class, size, mean and standard deviation of the pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.scan import parts
from harness.data.sources import DataSet, Split


@dataclass(frozen=True)
class Numbers:
    """How many rows there are of each class, and the mean and standard deviation of the training images' pixels."""

    rows: tuple[int, int, int]
    """Of train, validation and test."""
    counts: NDArray[np.intp]
    """(classes, 3), of each class in these."""
    image_shape: tuple[int, int, int]
    """Height, width, channels."""
    mean: NDArray[np.float64]
    """(channels,) of the training images' pixels, from 0 to 1: what a Normalization layer takes."""
    deviation: NDArray[np.float64]
    """(channels,) their standard deviation, likewise."""

    @property
    def bytes(self) -> int:
        """Of the pixels of all images."""
        return sum(self.rows) * int(np.prod(self.image_shape))

    @classmethod
    def of(cls, data: DataSet, splits: tuple[Split, Split, Split]) -> "Numbers":
        counts = [np.bincount(split.labels, minlength=data.classes) for split in splits]
        mean, deviation = _moments(splits[0])
        train, validation, test = map(len, splits)
        return cls((train, validation, test), np.stack(counts, axis=1), data.image_shape, mean, deviation)


def _moments(split: Split) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel's pixels, from 0 to 1; from sums of integers, which are exact."""
    channels = split.images.shape[3]
    sums, squares = np.zeros(channels, np.uint64), np.zeros(channels, np.uint64)
    pixels = 0
    for part in parts(split.images):
        flat = part.reshape(-1, channels)
        sums += flat.sum(axis=0, dtype=np.uint64)
        squares += np.square(flat, dtype=np.uint16).sum(axis=0, dtype=np.uint64)
        pixels += len(flat)
    mean = sums / pixels
    return mean / 255, np.sqrt(np.maximum(squares / pixels - mean**2, 0)) / 255
