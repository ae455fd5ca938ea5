"""Which classes are mistaken for which, as a picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from harness.data.classes import called
from harness.page.picture import INK, MUTED, Picture, png
from harness.report.class_labels import class_label

_LARGEST_NUMBERED = 20
_NAME, _POINTS = 1.75, 9
"""Inches that a class beside the matrix has, and the size of its letters."""
MOST_DRAWN = 1000
"""Classes: beyond, a confusion matrix has more cells than a picture has pixels."""
_WASH = LinearSegmentedColormap.from_list("wash", ["#e8eff6", "#8fafd3"])
"""That of the page's confusion matrix, page.css, from almost no mistakes to the most."""


def confusion_matrix(labels: NDArray[Any], predicted: NDArray[np.intp], classes: int) -> NDArray[np.int64]:
    """Counts (classes, classes): a row a true class, a column a predicted one."""
    pairs = labels.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def occurring(labels: NDArray[np.int32], predicted: NDArray[np.intp], classes: int) -> NDArray[np.intp]:
    """The classes of the confusion matrix: all of them or, of more than can be drawn, those that occur."""
    return np.arange(classes) if classes <= MOST_DRAWN else np.union1d(labels, predicted)


def confusion_picture(
    counts: NDArray[np.int64], classes_drawn: NDArray[np.intp] | None = None, names: Sequence[str] = ()
) -> Picture:
    """The confusion matrix: mistakes in colour, right answers as grey numbers on the diagonal.

    Args:
        counts: (n, n), a row a true class, a column a predicted one.
        classes_drawn: the numbers of these classes, (n,); 0 to n - 1 where it is None.
        names: of all classes, by number, where they have names.
    """
    numbers = range(len(counts)) if classes_drawn is None else classes_drawn.tolist()
    named = [called(number, names) for number in numbers]
    classes = len(counts)
    mistakes = counts * (1 - np.eye(classes, dtype=np.int64))
    worst = max(int(mistakes.max()), 1)
    figure = Figure(figsize=(6.6, 5.6), dpi=96, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    shown = np.where(mistakes > 0, mistakes, np.nan)
    image = axes.imshow(shown, cmap=_WASH, vmin=0, vmax=worst)
    if classes <= _LARGEST_NUMBERED:
        ticks = [class_label(number, names, _NAME, _POINTS) for number in numbers]
        axes.set_xticks(range(classes), ticks, rotation=90 if names else 0, parse_math=False)
        axes.set_yticks(range(classes), ticks, parse_math=False)
        for row, column in np.argwhere(counts > 0):
            value = counts[row, column]
            if row == column:
                style: dict[str, Any] = {"color": MUTED, "fontsize": 8.5}
            else:
                style = {"color": INK, "fontsize": 10, "fontweight": "bold"}
            axes.text(column, row, f"{value:,}", ha="center", va="center", **style)
    axes.set_xlabel("predicted class", fontsize=10)
    axes.set_ylabel("true class", fontsize=10)
    axes.tick_params(labelsize=_POINTS, length=0)
    axes.spines[:].set_color("#cccccc")
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("misclassified test images", fontsize=9)
    bar.ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    bar.ax.tick_params(labelsize=8)
    right, total = int(np.trace(counts)), int(counts.sum())
    return Picture(
        name="confusion-matrix",
        title="Confusion matrix",
        caption=f"{right:,} of {total:,} test images are classified correctly (grey, on the diagonal). A coloured "
        "number counts the images of the class on its left that were mistaken for the class below it.",
        alt=f"Confusion matrix: {right} of {total} test images right. "
        f"Most frequent mistakes: {_frequent(mistakes, named)}.",
        png=png(figure),
    )


def _frequent(mistakes: NDArray[np.int64], named: list[str]) -> str:
    order = np.argsort(-mistakes, axis=None, kind="stable")[:5]
    pairs = [divmod(int(place), len(mistakes)) for place in order if mistakes.flat[place]]
    return ", ".join(f"{named[row]} as {named[column]} ({mistakes[row, column]})" for row, column in pairs) or "none"
