"""A data set's classes in words: what they are called, and what of them is likely to be a mistake."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.data.problems import places
from harness.data.sources import Split

_SEVERAL = 10
"""Rows that a class should have in a split by its share of training, from which on none is no chance."""
_FAR_APART = 0.25
"""Half the summed difference of the classes' shares, from which on validation is another data set than training."""


def called(label: int, names: Sequence[str]) -> str:
    """A class for a person, as "3 cat"; its number alone where it has no name, as an output beyond the classes."""
    return f"{label} {names[label]}" if label < len(names) else str(label)


def doubts(splits: tuple[Split, Split, Split], classes: int) -> list[str]:
    """Why the result on validation or test may say little, with the numbers; nothing for most data sets.

    Args:
        splits: train, validation and test.
        classes: as many as the model has outputs.
    """
    train, validation, test = (np.bincount(split.labels, minlength=classes) for split in splits)
    names = splits[0].class_names
    found = []
    if np.count_nonzero(train + validation + test) == 1:
        (only,) = np.flatnonzero(train + validation + test).tolist()
        found.append(f"all rows are of one class, {called(only, names)}: there is nothing for a model to tell apart")
    unseen = [
        f"{rows[train == 0].sum():,} of {rows.sum():,} {name} rows"
        for name, rows in (("validation", validation), ("test", test))
        if rows[train == 0].any()
    ]
    if unseen:
        missing = _of_classes((train == 0) & (validation + test > 0), names)
        found.append(f"no training row has {missing}, but {' and '.join(unseen)} do{_remedy(train, validation)}")
    else:
        found.append(_unlike(train, "validation", validation, _remedy(train, validation), names))
        found.append(_unlike(train, "test", test, "", names))
    nowhere = (train + validation + test) == 0
    if nowhere.any():
        used = np.flatnonzero(~nowhere)
        found.append(
            f"no row has {_of_classes(nowhere, names)}: labels count from 0, so these, from {used[0]:,} to "
            f"{used[-1]:,}, make {classes:,} classes, of which {len(used):,} occur"
        )
    return [doubt for doubt in found if doubt]


def _unlike(train: NDArray[np.intp], split: str, rows: NDArray[np.intp], remedy: str, names: Sequence[str]) -> str:
    """That a split has the classes in other proportions, or lacks some of which it should have several."""
    by_chance = 0.5 * np.sqrt((train > 0).sum() / max(rows.sum(), 1))
    if _distance(train, rows) > _FAR_APART + by_chance:
        worst = int(np.argmax(np.abs(_shares(train) - _shares(rows))))
        return (
            f"{split} has the classes in other proportions than training: class {called(worst, names)} is "
            f"{_shares(rows)[worst]:.0%} of {split} and {_shares(train)[worst]:.0%} of training{remedy}"
        )
    lacks = (rows == 0) & (_shares(train) * rows.sum() >= _SEVERAL)
    return f"{split} has no row of {_of_classes(lacks, names)}, which training has" if lacks.any() else ""


def _remedy(train: NDArray[np.intp], validation: NDArray[np.intp]) -> str:
    if _distance(train, validation) <= _FAR_APART:
        return ""
    return "; if rows are sorted by class, data.stratify: true holds out some of each"


def _distance(one: NDArray[np.intp], other: NDArray[np.intp]) -> float:
    return 0.5 * float(np.abs(_shares(one) - _shares(other)).sum()) if one.any() and other.any() else 0.0


def _shares(counts: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.asarray(counts / max(counts.sum(), 1))


def _of_classes(mask: NDArray[np.bool_], names: Sequence[str]) -> str:
    numbers = np.flatnonzero(mask).tolist()
    named = places([called(number, names) for number in numbers] if names else numbers)
    return f"class{'es' if len(numbers) > 1 else ''} {named}"
