"""How training went, and which classes are taken for which."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from harness.report.picture import INK, MUTED, Picture, png
from harness.report.table import Row, Table

_STYLES: dict[str, dict[str, Any]] = {
    "train": {"color": "#0072B2", "linewidth": 1.4},
    "validation": {"color": "#D55E00", "linewidth": 1.4, "marker": "o", "markersize": 4},
    "test": {"color": "#007D5A", "linestyle": "none", "marker": "*", "markersize": 11},
}
_LARGEST_NUMBERED = 20
MOST_DRAWN = 1000
"""Classes: beyond, a confusion matrix has more cells than a picture has pixels."""
_MOST_TABLED = 30


def curves_picture(rows: list[dict[str, Any]]) -> Picture:
    """Loss, accuracy and learning rate against the step, from the rows of metrics.jsonl."""
    figure = Figure(figsize=(10, 3.3), dpi=96, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    loss, accuracy, rate = figure.subplots(1, 3)
    for split, style in _STYLES.items():
        own = [row for row in rows if row["split"] == split]
        if own:
            steps = [row["step"] for row in own]
            loss.plot(steps, [row["loss"] for row in own], label=split, **style)
            accuracy.plot(steps, [row["accuracy"] for row in own], label=split, **style)
    train = [row for row in rows if row["split"] == "train"]
    rate.plot([row["step"] for row in train], [row["learning_rate"] for row in train], **_STYLES["train"])
    loss.set_yscale("log")
    for axes, title in ((loss, "Loss (logarithmic)"), (accuracy, "Accuracy"), (rate, "Learning rate")):
        _plain(axes, title)
    if rows:
        accuracy.legend(frameon=False, fontsize=9, loc="lower right")
    return Picture(
        name="training-curves",
        title="Training curves",
        caption="Training values are means over the steps since the point before, with the augmentation on "
        "and label smoothing, where there is any, in the loss; validation and test are measured at that step, without "
        "either, so their loss may lie well below. A validation loss that "
        "rises while the training loss falls is overfitting.",
        alt="Loss, accuracy and learning rate over the steps of training. " + _last_values(rows),
        png=png(figure),
        table=_table(rows),
    )


def _table(rows: list[dict[str, Any]]) -> Table:
    """Every evaluation, and as many rows of training, evenly, as can be read."""
    drawn = [row for row in rows if row["split"] in _STYLES]
    train = [row for row in drawn if row["split"] == "train"]
    apart = -(-len(train) // _MOST_TABLED) or 1
    kept = train[::-1][::apart]
    shown = [row for row in drawn if row["split"] != "train" or row in kept]
    cells = [
        [
            f"{row['step']:,}",
            row["split"],
            f"{row['loss']:.4f}",
            f"{row['accuracy']:.4f}",
            f"{row['learning_rate']:.3g}" if "learning_rate" in row else "",
        ]
        for row in shown
    ]
    headings = ["step", "split", "loss", "accuracy", "learning rate"]
    return Table("Training curves as numbers", headings, [Row(row) for row in cells])


def confusion_matrix(labels: NDArray[Any], predicted: NDArray[np.intp], classes: int) -> NDArray[np.int64]:
    """Counts (classes, classes): a row a true class, a column a predicted one."""
    pairs = labels.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def occurring(labels: NDArray[np.int32], predicted: NDArray[np.intp], classes: int) -> NDArray[np.intp]:
    """The classes of the confusion matrix: all of them or, of more than can be drawn, those that occur."""
    return np.arange(classes) if classes <= MOST_DRAWN else np.union1d(labels, predicted)


def confusion_picture(counts: NDArray[np.int64], names: NDArray[np.intp] | None = None) -> Picture:
    """The confusion matrix: mistakes in colour, right answers as grey numbers on the diagonal.

    Args:
        counts: (n, n), a row a true class, a column a predicted one.
        names: the numbers of these classes, (n,); 0 to n - 1 where it is None.
    """
    named = list(range(len(counts)) if names is None else names.tolist())
    classes = len(counts)
    mistakes = counts * (1 - np.eye(classes, dtype=np.int64))
    worst = max(int(mistakes.max()), 1)
    figure = Figure(figsize=(6.6, 5.6), dpi=96, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    shown = np.where(mistakes > 0, mistakes, np.nan)
    image = axes.imshow(shown, cmap="viridis_r", vmin=0, vmax=worst)
    if classes <= _LARGEST_NUMBERED:
        axes.set_xticks(range(classes), named)
        axes.set_yticks(range(classes), named)
        for row, column in np.argwhere(counts > 0):
            value = counts[row, column]
            if row == column:
                style: dict[str, Any] = {"color": MUTED, "fontsize": 8.5}
            else:
                style = {
                    "color": "white" if value > 0.5 * worst else INK,
                    "fontsize": 10,
                    "fontweight": "bold",
                }
            axes.text(column, row, f"{value:,}", ha="center", va="center", **style)
    axes.set_xlabel("predicted", fontsize=10)
    axes.set_ylabel("true", fontsize=10)
    axes.tick_params(labelsize=9, length=0)
    axes.spines[:].set_color("#cccccc")
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("test images mistaken", fontsize=9)
    bar.ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    bar.ax.tick_params(labelsize=8)
    right, total = int(np.trace(counts)), int(counts.sum())
    return Picture(
        name="confusion-matrix",
        title="Confusion matrix",
        caption=f"{right:,} of {total:,} test images are right (grey, on the diagonal). A coloured number "
        "counts the images of the class on its left that were taken for the class below.",
        alt=f"Confusion matrix: {right} of {total} test images right. "
        f"Most frequent mistakes: {_frequent(mistakes, named)}.",
        png=png(figure),
    )


def _plain(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10.5, color=INK, loc="left")
    axes.set_xlabel("step", fontsize=9)
    axes.tick_params(labelsize=8.5)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _last_values(rows: list[dict[str, Any]]) -> str:
    last = {row["split"]: row for row in rows}
    return " ".join(
        f"Last {split}: loss {last[split]['loss']:.4f}, accuracy {last[split]['accuracy']:.4f}."
        for split in _STYLES
        if split in last
    )


def _frequent(mistakes: NDArray[np.int64], named: list[int]) -> str:
    order = np.argsort(-mistakes, axis=None, kind="stable")[:5]
    pairs = [divmod(int(place), len(mistakes)) for place in order if mistakes.flat[place]]
    return ", ".join(f"{named[row]} as {named[column]} ({mistakes[row, column]})" for row, column in pairs) or "none"
