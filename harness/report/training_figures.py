"""How training went, and which classes are mistaken for which."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from harness.data.classes import called
from harness.page.picture import INK, MUTED, Picture, png
from harness.page.table import Row, Table
from harness.page.wording import measured
from harness.report.class_labels import class_label

_STYLES: dict[str, dict[str, Any]] = {
    "train": {"color": "#0072B2", "linewidth": 1.4},
    "validation": {"color": "#D55E00", "linewidth": 1.4, "marker": "o", "markersize": 4},
    "test": {"color": "#007D5A", "linestyle": "none", "marker": "*", "markersize": 11},
}
_LARGEST_NUMBERED = 20
_NAME, _POINTS = 1.75, 9
"""Inches that a class beside the matrix has, and the size of its letters."""
MOST_DRAWN = 1000
"""Classes: beyond, a confusion matrix has more cells than a picture has pixels."""
_MOST_TABLED = 30
_WASH = LinearSegmentedColormap.from_list("wash", ["#e8eff6", "#8fafd3"])
"""That of the page's confusion matrix, page.css, from almost no mistakes to the most."""


def curves_figure(
    rows: list[dict[str, Any]], label_smoothing: float, metrics: Sequence[str] = (), in_one_column: bool = False
) -> Figure:
    """Loss, accuracy, learning rate and other metrics against the step: see `curves_picture`."""
    panels = [("Loss", "loss", tuple(_STYLES))]
    if label_smoothing:
        panels = [
            (f"Training loss, label smoothing {label_smoothing:g}", "loss", ("train",)),
            ("Validation and test loss", "loss", ("validation", "test")),
        ]
    panels += [("Accuracy", "accuracy", tuple(_STYLES)), ("Learning rate", "learning_rate", ("train",))]
    panels += [(name.replace("_", " ").capitalize(), name, tuple(_STYLES)) for name in metrics]
    high = len(panels) if in_one_column else -(-len(panels) // 3)
    figure = Figure(figsize=(5 if in_one_column else 10, 3.3 * high), dpi=96, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(high, -(-len(panels) // high), squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    drawn = grid.flat[: len(panels)]
    for axes, (title, value, splits) in zip(drawn, panels, strict=True):
        _draw(axes, title, value, {split: [row for row in rows if row["split"] == split] for split in splits})
    steps = [row["step"] for row in rows if row["split"] in _STYLES]
    if len(set(steps)) > 1:
        for axes in drawn:
            axes.set_xlim(min(steps), max(steps))
    return figure


def curves_picture(rows: list[dict[str, Any]], label_smoothing: float = 0.0, metrics: Sequence[str] = ()) -> Picture:
    """Loss, accuracy, learning rate and other metrics against the step.

    Args:
        rows: of metrics.jsonl.
        label_smoothing: that of the training loss, which then has axes of its own: it can't be compared with a loss
            without.
        metrics: names of those beside loss and accuracy; a row may lack one, as it may have been added later.
    """
    smoothed = " and the loss with label smoothing" if label_smoothing else ""
    apart = (
        " The two losses have axes of their own because label smoothing raises the first: they can't be compared."
        if label_smoothing
        else " A validation loss that rises while the training loss falls is a sign of overfitting."
    )
    return Picture(
        name="training-curves",
        title="Training curves",
        caption="Each training point is the mean over the steps since the previous one, with augmentation "
        f"on{smoothed}. Validation and test are measured at that step, without either.{apart}",
        alt="Loss, accuracy and learning rate over the steps of training. " + _last_values(rows),
        png=png(curves_figure(rows, label_smoothing, metrics)),
        narrow=png(curves_figure(rows, label_smoothing, metrics, in_one_column=True)),
        table=_table(rows, metrics),
        chart=True,
    )


def _draw(axes: Axes, title: str, value: str, splits: dict[str, list[dict[str, Any]]]) -> None:
    axes.set_title(title, fontsize=10.5, color=INK, loc="left")
    axes.set_xlabel("step", fontsize=9)
    axes.tick_params(labelsize=8.5, which="both")
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    for split, rows in splits.items():
        if rows:
            # A point at the very edge is whole: the axes end where the data do.
            axes.plot(
                [row["step"] for row in rows],
                [math.nan if row.get(value) is None else row[value] for row in rows],
                label=split,
                clip_on=False,
                zorder=3,
                **_STYLES[split],
            )
    losses = [row["loss"] or 0 for rows in splits.values() for row in rows]
    if value == "loss" and is_logarithmic(losses):
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_major_locator(LogLocator(subs=_subs(losses)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(_plain)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    if len(splits) > 1 and any(splits.values()):
        axes.legend(frameon=False, fontsize=9)


def is_logarithmic(losses: Sequence[float]) -> bool:
    """Whether losses are drawn on a logarithmic axis: a loss of one's own may be negative, and 0 is left out there."""
    return any(loss > 0 for loss in losses) and not any(loss < 0 for loss in losses)


def _subs(losses: Sequence[float]) -> tuple[int, ...]:
    """The multiples of powers of ten that the axis names: fewer where it spans more of these, so that they don't touch.

    A network that knows its few images by heart goes from 1 to 0.0000001.
    """
    positive = [loss for loss in losses if loss > 0]
    decades = math.log10(max(positive) / min(positive))
    return (1, 2, 3, 5, 7) if decades < 2 else (1, 3) if decades < 4 else (1,)


def _table(rows: list[dict[str, Any]], metrics: Sequence[str]) -> Table:
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
            measured(row["loss"]),
            f"{row['accuracy']:.4f}",
            f"{row['learning_rate']:.3g}" if "learning_rate" in row else "",
            *("" if row.get(name) is None else f"{row[name]:.4f}" for name in metrics),
        ]
        for row in shown
    ]
    headings = ["step", "split", "loss", "accuracy", "learning rate", *metrics]
    return Table("Training curves as numbers", headings, [Row(row) for row in cells])


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


@FuncFormatter
def _plain(value: float, _: int) -> str:
    """0.12, and neither 1.2e-1 nor 1.2 × 10⁻¹."""
    return np.format_float_positional(value, precision=4, fractional=False, trim="-")


def _last_values(rows: list[dict[str, Any]]) -> str:
    last = {row["split"]: row for row in rows}
    return " ".join(
        f"Last {split}: loss {measured(last[split]['loss'])}, accuracy {last[split]['accuracy']:.4f}."
        for split in _STYLES
        if split in last
    )


def _frequent(mistakes: NDArray[np.int64], named: list[str]) -> str:
    order = np.argsort(-mistakes, axis=None, kind="stable")[:5]
    pairs = [divmod(int(place), len(mistakes)) for place in order if mistakes.flat[place]]
    return ", ".join(f"{named[row]} as {named[column]} ({mistakes[row, column]})" for row, column in pairs) or "none"
