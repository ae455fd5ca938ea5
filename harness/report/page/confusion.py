"""The confusion matrix, whose cells choose what the gallery shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.report.training_figures import confusion_matrix

_LARGEST_GRID = 20
_MOST_PAIRS = 40
_ROWS_NAMED = 8


@dataclass(frozen=True)
class Cell:
    label: int
    predicted: int
    count: int
    share: float
    """Of the most frequent mistake, 0 to 1: how strongly it is coloured. 0 where it is none."""
    rows: Sequence[int]
    """The first few of these test images."""


@dataclass(frozen=True)
class Confusion:
    title: str
    note: str
    grid: Sequence[Sequence[Cell | None]]
    """A row a true class, a column a predicted one; empty where there are too many classes."""
    pairs: Sequence[Cell]
    """The most frequent mistakes, where there is no grid."""


def confusion(labels: NDArray[np.int32], predicted: NDArray[np.intp], classes: int) -> Confusion:
    """The matrix of up to 20 classes, or the 40 most frequent mistakes among more."""
    counts = confusion_matrix(labels, predicted, classes)
    mistakes = counts * (1 - np.eye(classes, dtype=np.int64))
    most = max(int(mistakes.max()), 1)

    def cell(label: int, guess: int) -> Cell | None:
        count = int(counts[label, guess])
        if not count:
            return None
        rows = np.flatnonzero((labels == label) & (predicted == guess))[:_ROWS_NAMED].tolist()
        return Cell(label, guess, count, 0.0 if label == guess else round(count / most, 2), rows)

    note = (
        f"{int(np.trace(counts)):,} of {int(counts.sum()):,} test images are right. Choose a number to see those of "
        "its images that are explained below; again to see all. The arrow keys go from number to number."
    )
    if classes <= _LARGEST_GRID:
        grid = [[cell(label, guess) for guess in range(classes)] for label in range(classes)]
        return Confusion("Which classes it takes for which", note, grid, [])
    order = np.argsort(-mistakes, axis=None, kind="stable")[:_MOST_PAIRS]
    pairs = [cell(*divmod(int(place), classes)) for place in order if mistakes.flat[place]]
    return Confusion("The most frequent mistakes", note, [], [pair for pair in pairs if pair])
