"""Labels in the forms that they come in → numbers from 0, the classes' names, and what was made of them."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.data.problems import Problems, places
from harness.errors import DataError

_MOST_CLASSES = 100_000
_FEW_CLASSES, _MOST_UNUSED = 1000, 10


class Labels(NamedTuple):
    train: NDArray[np.int32]
    """(n,), from 0."""
    test: NDArray[np.int32]
    names: tuple[str, ...]
    """By label; empty where they are mere numbers."""
    told: str
    """What they were before, in half a sentence; empty where they were numbers from 0."""


def recognised(source: str, train: NDArray[Any], test: NDArray[Any], counts: tuple[int, int]) -> Labels:
    """Numbers, from 0 or from 1, or names, (n,) or (n, 1), or one-hot (n, classes).

    Numbers are taken to count from 1 where each from 1 to the largest occurs, in either set, and 0 doesn't. Names are
    numbered in the order of the alphabet.

    Args:
        train, test: labels, of `counts` images.

    Raises DataError where they are something else, or of two forms.
    """
    told = []
    if train.ndim == test.ndim == 2 and train.shape[1] == test.shape[1]:
        if train.shape[1] == 1:
            told.append("(n, 1)")
            train, test = train[:, 0], test[:, 0]
        else:
            told.append(f"one-hot (n, {train.shape[1]})")
            train, test = (_from_one_hot(source, *each) for each in zip((train, test), counts, strict=True))
    if train.dtype.kind in "US" and test.dtype.kind == train.dtype.kind:
        for labels, count in zip((train, test), counts, strict=True):
            _check_shape(source, labels, count)
        texts, numbers = np.unique(np.concatenate([train, test]), return_inverse=True)
        _check_numbering(source, len(texts), len(texts))
        told.append("names")
        as_numbers = numbers.reshape(-1).astype(np.int32)
        of_train, of_test = as_numbers[: len(train)], as_numbers[len(train) :]
        return Labels(of_train, of_test, tuple(texts.astype(np.str_).tolist()), ", ".join(told))
    problems = Problems(source)
    for of, labels, count in zip(("train", "test"), (train, test), counts, strict=True):
        with problems.noted():
            _check_numbers(source, of, labels, count)
    problems.refuse()
    occurring = np.unique(np.concatenate([np.unique(train), np.unique(test)])).astype(np.int64)
    largest = int(occurring[-1])
    _check_numbering(source, largest + 1, len(occurring))
    if occurring[0] == 1 and largest == len(occurring) and largest > 1:
        told.append(f"numbers from 1 to {largest:,}, here from 0")
        names = tuple(map(str, occurring.tolist()))
        return Labels((train - 1).astype(np.int32), (test - 1).astype(np.int32), names, ", ".join(told))
    return Labels(train.astype(np.int32), test.astype(np.int32), (), ", ".join(told))


def _from_one_hot(source: str, labels: NDArray[Any], count: int) -> NDArray[np.int64]:
    is_number = labels.dtype.kind in "biuf"
    wrong = (
        ~(((labels == 0) | (labels == 1)).all(axis=1) & (labels.sum(axis=1) == 1)) if is_number else np.ones(1, bool)
    )
    if len(labels) != count or wrong.any():
        where = f": row {int(wrong.argmax()):,} isn't" if is_number and wrong.any() else ""
        raise DataError(
            f"data.source: {source}: labels must be {count} numbers or names, or one-hot, not {labels.dtype} "
            f"{labels.shape}{where}"
        )
    return np.asarray(labels.argmax(axis=1), np.int64)


def _check_shape(source: str, labels: NDArray[Any], count: int) -> None:
    if labels.shape != (count,):
        raise DataError(f"data.source: {source}: labels must be {count} names, not {labels.dtype} {labels.shape}")


def _check_numbers(source: str, of: str, labels: NDArray[Any], count: int) -> None:
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"data.source: {source}: labels must be {count} integers, not {labels.dtype} {labels.shape}; or, of train "
            "and test alike, names or one-hot"
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= _MOST_CLASSES))
    if len(wrong):
        found = labels.min() if labels.min() < 0 else labels.max()
        raise DataError(
            f"data.source: {source}: labels must be from 0 to {_MOST_CLASSES - 1:,}, found {found}: {len(wrong):,} of "
            f"{count:,} {of} labels are others, row{'s' if len(wrong) > 1 else ''} {places(wrong.tolist())}"
        )


def _check_numbering(source: str, classes: int, occurring: int) -> None:
    """A model has an output for each number up to the largest label: numbers of a catalogue would make it huge."""
    if classes > _MOST_CLASSES:
        raise DataError(f"data.source: {source}: at most {_MOST_CLASSES:,} classes, found {classes:,} names")
    if classes > _FEW_CLASSES and classes > _MOST_UNUSED * occurring:
        raise DataError(
            f"data.source: {source}: labels go up to {classes - 1:,}, which makes {classes:,} classes, and only "
            f"{occurring:,} of these occur: number them from 0 to {occurring - 1:,} "
            "(y = np.searchsorted(np.unique(y_train), y))"
        )
