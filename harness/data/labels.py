"""Labels in the forms that they come in → numbers from 0, the classes' names, and what was made of them."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.data.problems import Problems, places
from harness.errors import DataError

_MOST_CLASSES = 100_000
_FEW_CLASSES, _MOST_UNUSED = 1000, 10


class Labels(NamedTuple):
    """Labels as numbers from 0, and what they are called."""

    train: NDArray[np.int32]
    """(n,), from 0."""
    test: NDArray[np.int32]
    names: tuple[str, ...]
    """By label; empty where they are mere numbers."""
    given_as: str
    """What they were before, in half a sentence; empty where they were numbers from 0."""


FROM_1 = "numbers from 1 to"
"""How `Labels.given_as` begins, or goes on, where numbers are counted from 0 that the source counts from 1."""


def recognised(
    source: str,
    train: NDArray[Any],
    test: NDArray[Any],
    counts: tuple[int, int],
    class_names: tuple[str, ...] = (),
) -> Labels:
    """Numbers, from 0 or from 1, or names, (n,) or (n, 1), or one-hot (n, classes).

    Numbers are taken to count from 1 where 0 doesn't occur and each from 1 to the largest does, in either set; where
    the source names its classes, if there are as many names as the largest number instead. Names are numbered in
    alphabetical order, or as the source names its classes.

    Args:
        train, test: labels, of `counts` images; names as text, or as bytes in UTF-8.
        class_names: by label, where the source gives them.

    Raises DataError where they are something else, of two forms, or not among `class_names`.
    """
    forms = []
    is_one_hot = False
    if train.ndim == test.ndim == 2 and train.shape[1] == test.shape[1]:
        if train.shape[1] == 1:
            forms.append("(n, 1)")
            train, test = train[:, 0], test[:, 0]
        else:
            is_one_hot = True
            forms.append(f"one-hot (n, {train.shape[1]})")
            train, test = (_from_one_hot(source, *each) for each in zip((train, test), counts, strict=True))
    if train.dtype.kind in "US" and test.dtype.kind == train.dtype.kind:
        for of, labels, count in zip(("train", "test"), (train, test), counts, strict=True):
            _check_shape(source, of, labels, count)
        found, numbers = np.unique(np.concatenate([train, test]), return_inverse=True)
        texts = _decoded(source, found)
        names = class_names or tuple(texts)
        _check_numbering(source, len(names), len(names))
        forms.append("names")
        place = {name: label for label, name in enumerate(names)}
        if unknown := [text for text in texts if text not in place]:
            raise DataError(
                f"data.source: {source}: labels {places(unknown)} are not among its {len(names):,} class_names: add "
                "them there, or leave class_names out"
            )
        as_numbers = np.array([place[text] for text in texts], np.int32)[numbers.reshape(-1)]
        return Labels(as_numbers[: len(train)], as_numbers[len(train) :], names, ", ".join(forms))
    problems = Problems(source)
    for of, labels, count in zip(("train", "test"), (train, test), counts, strict=True):
        with problems.noted():
            _check_numbers(source, of, labels, count)
    problems.refuse()
    occurring = np.unique(np.concatenate([np.unique(train), np.unique(test)])).astype(np.int64)
    largest = int(occurring[-1])
    _check_numbering(source, largest + 1, len(occurring))
    from_1 = largest == len(class_names or occurring) and largest > 1
    if occurring[0] > 0 and from_1 and not is_one_hot:  # which says itself how many classes there are
        forms.append(f"{FROM_1} {largest:,}, here from 0")
        names = class_names or tuple(map(str, occurring.tolist()))
        return Labels((train - 1).astype(np.int32), (test - 1).astype(np.int32), names, ", ".join(forms))
    return Labels(train.astype(np.int32), test.astype(np.int32), class_names, ", ".join(forms))


def _decoded(source: str, found: NDArray[Any]) -> list[str]:
    if found.dtype.kind == "U":
        return list(map(str, found.tolist()))
    try:
        return [text.decode() for text in found.tolist()]
    except UnicodeDecodeError as error:
        raise DataError(
            f"data.source: {source}: the label {error.object!r} is not UTF-8: give labels as text, such as "
            "np.char.decode(y, 'latin-1')"
        ) from None


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


def _check_shape(source: str, of: str, labels: NDArray[Any], count: int) -> None:
    _check_length(source, of, labels, count)
    if labels.shape != (count,):
        raise DataError(f"data.source: {source}: labels must be {count} names, not {labels.dtype} {labels.shape}")


def _check_length(source: str, of: str, labels: NDArray[Any], count: int) -> None:
    if labels.ndim == 1 and len(labels) != count:
        raise DataError(f"data.source: {source}: {len(labels):,} {of} labels for {count:,} {of} images")


def _check_numbers(source: str, of: str, labels: NDArray[Any], count: int) -> None:
    _check_length(source, of, labels, count)
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
            f"{count:,} {of} labels are out of range, row{'s' if len(wrong) > 1 else ''} {places(wrong.tolist())}"
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
