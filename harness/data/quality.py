"""What of a data set's images and labels is likely to spoil a result.

What can't be trained on is refused where the data are read. All of this can be trained on, and published data sets have
some of it: it is reported in warnings, with the numbers to judge it by.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.data.classes import called
from harness.data.classes import doubts as doubts_of_classes
from harness.data.problems import places
from harness.data.scan import Scan
from harness.data.sources import DataSet, Split

_UNEVEN = 10
"""Times that the largest class has the rows of the smallest, from which on it is reported."""
_FLAT = 8
"""Of 255: how much a channel of an image of one colour may vary, as JPEG lets it."""
_MOST_PAIRS = 3
_CHANNELS = (1, 3, 4)
"""Those of grey images, of RGB and of RGBA."""


def doubts(data: DataSet, splits: tuple[Split, Split, Split], scans: tuple[Scan, Scan] | None) -> list[str]:
    """Why a result may say little, in sentences with the numbers; none for most data sets.

    Files that were left out, arrays with the channels first, classes that are missing or unlike in the splits, classes
    of very different size, images of one colour, images with two labels, and images that training shares with
    validation or test. Rows are counted among the data set's own:
    those held out for validation are training rows too.

    Args:
        scans: of the training and the test images; None for those that weren't looked through.
    """
    found = [data.left_out, _transposed(data), *doubts_of_classes(splits, data.classes), _uneven(splits[0])]
    if scans is not None:
        train, validation, test = splits
        looked_at = [
            _Images.of("training", data, train, scans),
            _Images.of("validation", data, validation, scans),
            _Images.of("test", data, test, scans, 1),
        ]
        found += [_flat(images) for images in looked_at]
        found += [_contradicted(images, split) for images, split in zip(looked_at, splits, strict=True)]
        found += [_shared(images, looked_at[0]) for images in looked_at[1:]]
    return [doubt for doubt in found if doubt]


class _Images(NamedTuple):
    """Those of a split."""

    split: str
    scan: Scan
    rows: NDArray[np.intp]
    names: Sequence[str] | None
    """By row, where they are files."""

    @classmethod
    def of(cls, name: str, data: DataSet, split: Split, scans: tuple[Scan, Scan], part: int = 0) -> "_Images":
        """`part`: 0 for training images, which validation has some of, and 1 for test images."""
        scan = scans[part]
        rows = np.arange(len(scan.digests))[split.rows]
        return cls(name, scan.at(split.rows), rows, data.names and data.names[part])

    def called(self, index: int) -> str:
        """A file's name, or the row among all training or test images."""
        row = self.rows[index]
        return f"{self.split} row {row:,}" if self.names is None else self.names[row]


def _transposed(data: DataSet) -> str | None:
    height, width, channels = data.image_shape
    if height not in _CHANNELS or channels <= max(_CHANNELS):
        return None
    return (
        f"images are {height}×{width} with {channels:,} channels: if the arrays are (n, channels, height, width), give "
        "np.moveaxis(x, 1, 3)"
    )


def _contradicted(images: _Images, split: Split) -> str | None:
    if not len(split):
        return None
    _, image = np.unique(images.scan.digests, return_inverse=True)
    least, most = np.full(image.max() + 1, split.labels.max()), np.zeros(image.max() + 1, split.labels.dtype)
    np.minimum.at(least, image, split.labels)
    np.maximum.at(most, image, split.labels)
    rows = np.flatnonzero(least[image] != most[image])
    if not len(rows):
        return None
    together = rows[np.argsort(image[rows], kind="stable")].tolist()
    named = [f"{images.called(row)} as {called(int(split.labels[row]), split.class_names)}" for row in together]
    return (
        f"{len(rows):,} of {len(split):,} {images.split} images are there with another label too, pixel for pixel: "
        f"{places(named)}"
    )


def _uneven(train: Split) -> str | None:
    counts = np.bincount(train.labels)
    used = np.flatnonzero(counts)
    least, most = (int(used[choose(counts[used])]) for choose in (np.argmin, np.argmax))
    if counts[most] < _UNEVEN * counts[least]:
        return None
    largest, smallest = (f"class {called(label, train.class_names)} has {counts[label]:,}" for label in (most, least))
    return (
        f"classes are uneven: {largest} of {len(train):,} training rows and {smallest}, "
        f"{counts[most] / counts[least]:,.0f} times fewer; loss.class_weights gives the rows of a class more weight"
    )


def _flat(images: _Images) -> str | None:
    flat = np.flatnonzero(images.scan.contrast <= _FLAT).tolist()
    if not flat:
        return None
    return (
        f"{len(flat):,} of {len(images.rows):,} {images.split} images are of one colour, to within {_FLAT} of 255: "
        f"{places([images.called(index) for index in flat])}"
    )


def _shared(images: _Images, train: _Images) -> str | None:
    known, first = np.unique(train.scan.digests, return_index=True)
    at = np.minimum(np.searchsorted(known, images.scan.digests), len(known) - 1)
    shared = np.flatnonzero(known[at] == images.scan.digests).tolist()
    if not shared:
        return None
    pairs = [f"{images.called(index)} is {train.called(first[at[index]])}" for index in shared]
    return (
        f"{len(shared):,} of {len(images.rows):,} {images.split} images are also training images, pixel for pixel, so "
        f"the results on them prove nothing: {places(pairs, _MOST_PAIRS)}"
    )
