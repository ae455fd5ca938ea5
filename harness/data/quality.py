"""What of a data set's images and labels is likely to spoil a result.

What can't be trained on is refused where the data are read. All of this can be trained on, and published data sets have
some of it: it is told in warnings, with the numbers to judge it by.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.data.classes import doubts as doubts_of_classes
from harness.data.problems import places
from harness.data.scan import Scan
from harness.data.sources import DataSet, Split

_UNEVEN = 10
"""Times that the largest class has the rows of the smallest, from which on it is told."""
_FLAT = 8
"""Of 255: how much a channel of an image of one colour may vary, as JPEG lets it."""
_MOST_PAIRS = 3


def doubts(data: DataSet, splits: tuple[Split, Split, Split], scans: tuple[Scan, Scan] | None) -> list[str]:
    """Why a result may say little, in sentences with the numbers; none for most data sets.

    Classes that are missing or unlike in the splits, classes of very different size, images of one colour, and images
    that training shares with validation or test. Rows are counted among the data set's own: those held out for
    validation are training rows too.

    Args:
        scans: of the training and the test images; None for those that weren't looked through.
    """
    found = [*doubts_of_classes(splits, data.classes), _uneven(splits[0])]
    if scans is not None:
        names = ("training", "validation", "test")
        rows = [np.arange(len(scan.digests))[split.rows] for scan, split in zip(_by_split(scans), splits, strict=True)]
        looked_at = [scan.at(split.rows) for scan, split in zip(_by_split(scans), splits, strict=True)]
        found += [_flat(name, scan, of) for name, scan, of in zip(names, looked_at, rows, strict=True)]
        found += [_shared(names[of], looked_at[of], rows[of], looked_at[0], rows[0]) for of in (1, 2)]
    return [doubt for doubt in found if doubt]


def _by_split(scans: tuple[Scan, Scan]) -> tuple[Scan, Scan, Scan]:
    train, test = scans
    return train, train, test


def _uneven(train: Split) -> str | None:
    counts = np.bincount(train.labels)
    used = np.flatnonzero(counts)
    least, most = (int(used[choose(counts[used])]) for choose in (np.argmin, np.argmax))
    if counts[most] < _UNEVEN * counts[least]:
        return None
    return (
        f"classes are uneven: {_class(most, train.class_names)} has {counts[most]:,} of {len(train):,} training rows "
        f"and {_class(least, train.class_names)} has {counts[least]:,}, {counts[most] / counts[least]:,.0f} times "
        "fewer; loss.class_weights gives the rows of a class more weight"
    )


def _class(label: int, names: Sequence[str]) -> str:
    return f"class {label:,} ({names[label]})" if names else f"class {label:,}"


def _flat(name: str, scan: Scan, rows: NDArray[np.intp]) -> str | None:
    flat = rows[scan.contrast <= _FLAT].tolist()
    if not flat:
        return None
    return (
        f"{len(flat):,} of {len(rows):,} {name} images are of one colour, to within {_FLAT} of 255: "
        f"row{'s' if len(flat) > 1 else ''} {places(flat)}"
    )


def _shared(name: str, scan: Scan, rows: NDArray[np.intp], train: Scan, train_rows: NDArray[np.intp]) -> str | None:
    known, first = np.unique(train.digests, return_index=True)
    at = np.minimum(np.searchsorted(known, scan.digests), len(known) - 1)
    shared = np.flatnonzero(known[at] == scan.digests).tolist()
    if not shared:
        return None
    pairs = [f"{name} row {rows[one]:,} is training row {train_rows[first[at[one]]]:,}" for one in shared]
    return (
        f"{len(shared):,} of {len(rows):,} {name} images are training images too, pixel for pixel, and what the model "
        f"says of these proves nothing: {places(pairs, _MOST_PAIRS)}"
    )
