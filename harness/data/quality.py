"""What of a data set's images and labels is likely to spoil a result, found by one look through all pixels.

What can't be trained on is refused where the data are read. All of this can be trained on, and published data sets have
some of it: it is told in warnings, with the numbers to judge it by.
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.data.classes import doubts as doubts_of_classes
from harness.data.problems import places
from harness.data.sources import DataSet, Split

_CHUNK = 32 * 2**20
"""Bytes of images that are looked at in one go."""
_UNEVEN = 10
"""Times that the largest class has the rows of the smallest, from which on it is told."""
_FLAT = 8
"""Of 255: how much a channel of an image of one colour may vary, as JPEG lets it."""
_MOST_PAIRS = 3


class Scan(NamedTuple):
    """What is kept of each image."""

    digests: NDArray[np.uint64]
    """(n,) equal where all pixels are equal. Of 6 million different images two have the same once in a million sets."""
    contrast: NDArray[np.uint8]
    """(n,) the largest value less the smallest, of the channel where this is most."""

    @classmethod
    def of(cls, images: NDArray[np.uint8]) -> "Scan":
        """Look through images (n, height, width, channels), read in order and a part at a time: 0.2 s for MNIST."""
        digests, contrast = np.zeros(len(images), np.uint64), np.zeros(len(images), np.uint8)
        at = 0
        for part in parts(images):
            digests[at : at + len(part)] = _digests(part)
            contrast[at : at + len(part)] = _contrast(part)
            at += len(part)
        return cls(digests, contrast)


def parts(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """All the images in order, some megabytes at a time."""
    rows = max(1, _CHUNK // int(np.prod(images.shape[1:])))
    for start in range(0, len(images), rows):
        yield np.ascontiguousarray(images[start : start + rows])


def doubts(data: DataSet, splits: tuple[Split, Split, Split]) -> list[str]:
    """Why a result may say little, in sentences with the numbers; none for most data sets.

    Classes that are missing or unlike in the splits, classes of very different size, images of one colour, and images
    that training shares with validation or test.
    """
    train, validation, test = (Scan.of(split.images) for split in splits)
    scans = (("training", train), ("validation", validation), ("test", test))
    of_images = [
        _uneven(splits[0].labels),
        *(_flat(name, scan.contrast) for name, scan in scans),
        *(_shared(name, scan.digests, train.digests) for name, scan in scans[1:]),
    ]
    return [*doubts_of_classes(splits, data.classes), *filter(None, of_images)]


def _uneven(labels: NDArray[np.int32]) -> str | None:
    counts = np.bincount(labels)
    used = np.flatnonzero(counts)
    least, most = (int(used[choose(counts[used])]) for choose in (np.argmin, np.argmax))
    if counts[most] < _UNEVEN * counts[least]:
        return None
    return (
        f"classes are uneven: class {most:,} has {counts[most]:,} of {len(labels):,} training rows and class {least:,} "
        f"has {counts[least]:,}, {counts[most] / counts[least]:,.0f} times fewer; loss.class_weights gives the rows of "
        "a class more weight"
    )


def _flat(name: str, contrast: NDArray[np.uint8]) -> str | None:
    rows = np.flatnonzero(contrast <= _FLAT).tolist()
    if not rows:
        return None
    return (
        f"{len(rows):,} of {len(contrast):,} {name} images are of one colour, to within {_FLAT} of 255: "
        f"row{'s' if len(rows) > 1 else ''} {places(rows)}"
    )


def _shared(name: str, digests: NDArray[np.uint64], train: NDArray[np.uint64]) -> str | None:
    known, first = np.unique(train, return_index=True)
    at = np.minimum(np.searchsorted(known, digests), len(known) - 1)
    rows = np.flatnonzero(known[at] == digests).tolist()
    if not rows:
        return None
    pairs = [f"{name} row {row:,} is training row {first[at[row]]:,}" for row in rows]
    return (
        f"{len(rows):,} of {len(digests):,} {name} images are training images too, pixel for pixel, and what the model "
        f"says of these proves nothing: {places(pairs, _MOST_PAIRS)}"
    )


def _digests(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    length = int(np.prod(images.shape[1:]))
    pixels = images.reshape(-1).data
    of_each = (
        hashlib.blake2b(pixels[start : start + length], digest_size=8).digest()
        for start in range(0, len(pixels), length)
    )
    return np.frombuffer(b"".join(of_each), "<u8")


def _contrast(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    contrast = np.zeros(len(images), np.uint8)
    for channel in range(images.shape[3]):  # each by itself and laid out in a row: five times as fast
        pixels = np.ascontiguousarray(images[..., channel]).reshape(len(images), -1)
        contrast = np.maximum(contrast, pixels.max(axis=1) - pixels.min(axis=1))
    return contrast
