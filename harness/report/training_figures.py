"""How training went: loss, accuracy and learning rate against the step."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from harness.page.picture import INK, Picture, png
from harness.page.table import Row, Table
from harness.page.wording import measured

_STYLES: dict[str, dict[str, Any]] = {
    "train": {"color": "#0072B2", "linewidth": 1.4},
    "validation": {"color": "#D55E00", "linewidth": 1.4, "marker": "o", "markersize": 4},
    "test": {"color": "#007D5A", "linestyle": "none", "marker": "*", "markersize": 11},
}
_MOST_TABLED = 30


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
