"""Which of the training rows are held out for validation, and on which of the others the model is trained."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError


def last(labels: NDArray[np.int32], count: int, stratify: bool) -> NDArray[np.int64]:
    """The last `count` rows; with `stratify` of each class its share, rounded by largest remainders."""
    if not stratify:
        return np.arange(len(labels) - count, len(labels))
    return _of_each_class(labels, count, lambda rows, part: rows[len(rows) - part :])


def fold(labels: NDArray[np.int32], number: int, folds: int, stratify: bool) -> NDArray[np.int64]:
    """Fold `number`, from 1, of `folds`, which are equal parts of the rows in their order.

    With `stratify` each class is cut into folds by itself.

    Raises DataError where there are fewer rows than folds.
    """
    if len(labels) < folds:
        raise DataError(f"data.fold: {number}/{folds} of {len(labels):,} training rows: at least {folds:,} are needed")
    groups = [rows for _, rows in _by_class(labels)] if stratify else [np.arange(len(labels))]
    parts = []
    for rows in groups:
        begin, end = (each * len(rows) // folds for each in (number - 1, number))
        parts.append(rows[begin:end])
    return np.sort(np.concatenate(parts))


def drawn(labels: NDArray[np.int32], count: int, seed: int) -> NDArray[np.int64]:
    """`count` rows in order, of each class its share, drawn by `seed`: a larger count has those of a smaller one too,
    but for single rows where shares are rounded."""
    random = np.random.default_rng(seed)
    return _of_each_class(labels, count, lambda rows, part: random.permutation(rows)[:part])


def _of_each_class(
    labels: NDArray[np.int32], count: int, pick: Callable[[NDArray[np.int64], int], NDArray[np.int64]]
) -> NDArray[np.int64]:
    sizes = np.array([len(rows) for _, rows in _by_class(labels)])
    shares = count * sizes / len(labels)
    parts = np.floor(shares).astype(int)
    missing = count - int(parts.sum())
    parts[np.argsort(parts - shares, kind="stable")[:missing]] += 1
    picked = [pick(rows, int(part)) for (_, rows), part in zip(_by_class(labels), parts, strict=True)]
    return np.sort(np.concatenate(picked))


def _by_class(labels: NDArray[np.int32]) -> Iterator[tuple[int, NDArray[Any]]]:
    """The rows of each class that occurs, in order."""
    order = np.argsort(labels, kind="stable")
    classes, begins = np.unique(labels[order], return_index=True)
    yield from zip(classes.tolist(), np.split(order, begins[1:]), strict=True)
