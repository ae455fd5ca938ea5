"""The confusion matrix, whose cells choose what the gallery shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.data.classes import called

_LARGEST_GRID = 20
_MOST_PAIRS = 40
_ROWS_NAMED = 8


@dataclass(frozen=True)
class Cell:
    """The images of the class `label` that the model takes for `predicted`, which may be the same one."""

    label: int
    predicted: int
    called: tuple[str, str]
    """Both, for a person."""
    count: int
    share: float
    """Of the most frequent mistake, 0 to 1: how strongly it is coloured. 0 on the diagonal."""
    rows: Sequence[int]
    """The first few of these test images."""


@dataclass(frozen=True)
class ConfusionMatrix:
    """The matrix of a few classes, or the most frequent mistakes among many."""

    title: str
    note: str
    grid: Sequence[Sequence[Cell | None]]
    """A row a true class, a column a predicted one; empty where there are too many classes."""
    pairs: Sequence[Cell]
    """The most frequent mistakes, where there is no grid."""
    classes: Sequence[str]
    """What those of the grid are called."""
    template: ClassVar[str] = "confusion.html.jinja"


def confusion(
    labels: NDArray[np.int32], predicted: NDArray[np.intp], classes: int, names: Sequence[str] = ()
) -> ConfusionMatrix:
    """The matrix of up to 20 classes, or the 40 most frequent mistakes among more; `names` by label, if there are."""
    # Only what occurs is counted: a matrix of a hundred thousand classes fits in no memory.
    places, counted = np.unique(labels.astype(np.int64) * classes + predicted, return_counts=True)
    counts = {divmod(place, classes): count for place, count in zip(places.tolist(), counted.tolist(), strict=True)}
    mistakes = sorted((-count, pair) for pair, count in counts.items() if pair[0] != pair[1])
    most = -mistakes[0][0] if mistakes else 1

    def cell(label: int, guess: int) -> Cell | None:
        count = counts.get((label, guess), 0)
        if not count:
            return None
        rows = np.flatnonzero((labels == label) & (predicted == guess))[:_ROWS_NAMED].tolist()
        both = called(label, names), called(guess, names)
        return Cell(label, guess, both, count, 0.0 if label == guess else round(count / most, 2), rows)

    note = "Select a number to see the maps of its images below; select it again to see all maps."
    if classes <= _LARGEST_GRID:
        grid = [[cell(label, guess) for guess in range(classes)] for label in range(classes)]
        return ConfusionMatrix("Confusion matrix", note, grid, [], [called(label, names) for label in range(classes)])
    pairs = [cell(*pair) for _, pair in mistakes[:_MOST_PAIRS]]
    return ConfusionMatrix("The most frequent mistakes", note, [], [pair for pair in pairs if pair], [])
