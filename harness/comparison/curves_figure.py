"""The curves of both runs in one picture."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatter, MaxNLocator

from harness.comparison.curves import SPLITS, VALUES
from harness.page.picture import INK, Picture, png
from harness.page.table import Row, Table

# Most colour-blind eyes can tell blue from vermilion; where one covers the other, the lower shows in the gaps.
_STYLES: dict[str, dict[str, Any]] = {
    "A": {"color": "#0072B2", "linewidth": 2.2, "linestyle": "-"},
    "B": {"color": "#D55E00", "linewidth": 1.3, "linestyle": "--"},
}
_MARKERS = {"A": "o", "B": "x"}
_MOST_TABLED = 20
"""Rows of training of each run."""


def curves_picture(rows: dict[str, Sequence[dict[str, Any]]]) -> Picture:
    """Loss and accuracy in training and validation against the step.

    Args:
        rows: of metrics.jsonl, by "A" and "B".
    """
    figure = Figure(figsize=(10, 6), dpi=96, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(SPLITS), len(VALUES), squeeze=False)
    for split, line in zip(SPLITS, grid, strict=True):
        for value, axes in zip(VALUES, line, strict=True):
            _draw(axes, rows, split, value)
    figure.legend(
        handles=[Line2D([], [], label=side, **style) for side, style in _STYLES.items()],
        loc="outside upper right",
        ncols=2,
        frameon=False,
        fontsize=9,
    )
    return Picture(
        name="curves",
        title="Training curves",
        caption="A is the solid line, B the dashed one. Each training point is the mean over the steps since the "
        "previous one, with augmentation and label smoothing if the run uses them; validation is measured at that "
        "step, without either.",
        alt="Loss and accuracy of A and B over the steps, in training and in validation. " + _last_values(rows),
        png=png(figure),
        table=_table(rows),
        chart=True,
    )


class _PlainNumbers(LogFormatter):
    """Labels the ticks that matplotlib would label, with 0.12 in place of 1.2 × 10⁻¹."""

    def __call__(self, value: float, position: int | None = None) -> str:
        return f"{value:g}" if super().__call__(value, position) else ""


def _draw(axes: Axes, rows: dict[str, Sequence[dict[str, Any]]], split: str, value: str) -> None:
    marked = {"A": None, "B": None} if split == "train" else _MARKERS
    for side, own in _of(rows, split).items():
        steps = [row["step"] for row in own]
        axes.plot(steps, [row[value] for row in own], label=side, marker=marked[side], markersize=5, **_STYLES[side])
    logarithmic = value == "loss" and any(_of(rows, split).values())
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(_PlainNumbers())
        axes.yaxis.set_minor_formatter(_PlainNumbers(minor_thresholds=(1.5, 0.5)))
    title = f"{value.capitalize()} in {'training' if split == 'train' else split}"
    axes.set_title(title + (" (logarithmic)" if logarithmic else ""), fontsize=10.5, color=INK, loc="left")
    axes.set_xlabel("step", fontsize=9)
    axes.tick_params(labelsize=8.5, which="both")
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _of(rows: dict[str, Sequence[dict[str, Any]]], split: str) -> dict[str, list[dict[str, Any]]]:
    return {side: [row for row in own if row["split"] == split] for side, own in rows.items()}


def _table(rows: dict[str, Sequence[dict[str, Any]]]) -> Table:
    """All evaluations, and as many rows of training, evenly, as can be read; each run's on its own."""
    shown = []
    for split in SPLITS:
        for side, own in _of(rows, split).items():
            apart = -(-len(own) // _MOST_TABLED) if split == "train" and own else 1
            kept = own[::-1][::apart][::-1]
            shown += [
                Row([f"{row['step']:,}", split, side, f"{row['loss']:.4f}", f"{row['accuracy']:.4f}"]) for row in kept
            ]
    return Table("Training curves as numbers", ["step", "split", "run", "loss", "accuracy"], shown)


def _last_values(rows: dict[str, Sequence[dict[str, Any]]]) -> str:
    return " ".join(
        f"Last {split} of {side}: loss {own[-1]['loss']:.4f}, accuracy {own[-1]['accuracy']:.4f}."
        for split in SPLITS
        for side, own in _of(rows, split).items()
        if own
    )
