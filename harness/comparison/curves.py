"""From which step on two curves differ, and both in one picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatter, MaxNLocator

from harness.page.picture import INK, Picture, png
from harness.page.table import Row, Table
from harness.page.wording import measured
from harness.report.training_figures import is_logarithmic

SPLITS = ("train", "validation")
VALUES = ("loss", "accuracy")
# Most colour-blind eyes can tell blue from vermilion; where one covers the other, the lower shows in the gaps.
_STYLES: dict[str, dict[str, Any]] = {
    "A": {"color": "#0072B2", "linewidth": 2.2, "linestyle": "-"},
    "B": {"color": "#D55E00", "linewidth": 1.3, "linestyle": "--"},
}
_MARKERS = {"A": "o", "B": "x"}
_MOST_TABLED = 20
"""Rows of training of each run."""


@dataclass(frozen=True)
class FirstDifference:
    """The first step that both curves have and at which they differ."""

    step: int
    a: dict[str, Any]
    b: dict[str, Any]
    """Loss and accuracy there; None for a loss that was not finite."""


@dataclass(frozen=True)
class CurveComparison:
    """How far the curves of A and B agree in one split."""

    first: FirstDifference | None
    """None where the curves are equal wherever both have a value, or nowhere both have one."""
    both: int
    """How many rows both have."""
    only_a: int
    only_b: int
    """How many rows the other one lacks."""

    @property
    def words(self) -> str:
        """One or two sentences, without the last full stop."""
        if not self.both:
            text = "A and B have no steps in common"
        elif self.first is None:
            common = f"all {self.both:,} common steps" if self.both > 1 else "the one common step"
            text = f"A and B are identical at {common}"
        else:
            a, b = self.first.a, self.first.b
            losses = f"loss {measured(a['loss'], '.6g')} and {measured(b['loss'], '.6g')}"
            accuracies = f"accuracy {a['accuracy']:.4f} and {b['accuracy']:.4f}"
            text = f"A and B first differ at step {self.first.step:,}: {losses}, {accuracies}"
        if not self.only_a + self.only_b:
            return text
        alone = [f"{_rows(count)} of {side}" for side, count in (("A", self.only_a), ("B", self.only_b)) if count]
        return f"{text}. {' and '.join(alone)} {'has' if self.only_a + self.only_b == 1 else 'have'} no counterpart"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def compare_curves(a: Sequence[dict[str, Any]], b: Sequence[dict[str, Any]]) -> dict[str, CurveComparison]:
    """By split, "train" and "validation", where two runs' rows of metrics.jsonl differ, to the last bit.

    A row of training is a mean over the steps since the row before, so there only rows that cover the same steps count.
    """
    return {split: _compared(_by_steps(a, split), _by_steps(b, split)) for split in SPLITS}


def _by_steps(rows: Sequence[dict[str, Any]], split: str) -> dict[tuple[int, int], dict[str, float]]:
    """Loss and accuracy by their steps: after which, and up to which."""
    found, before = {}, 0
    for row in rows:
        if row["split"] == split:
            found[before if split == "train" else row["step"], row["step"]] = {name: row[name] for name in VALUES}
            before = row["step"]
    return found


def _compared(
    a: dict[tuple[int, int], dict[str, float]], b: dict[tuple[int, int], dict[str, float]]
) -> CurveComparison:
    both = [steps for steps in a if steps in b]
    different = (steps for steps in both if a[steps] != b[steps])
    first = next((FirstDifference(steps[1], a[steps], b[steps]) for steps in different), None)
    return CurveComparison(first, len(both), len(a) - len(both), len(b) - len(both))


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
        values = [math.nan if row[value] is None else row[value] for row in own]
        axes.plot(steps, values, label=side, marker=marked[side], markersize=5, **_STYLES[side])
    losses = [row["loss"] or 0 for own in _of(rows, split).values() for row in own]
    logarithmic = value == "loss" and is_logarithmic(losses)
    if logarithmic:
        axes.set_yscale("log", nonpositive="mask")
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
            stride = -(-len(own) // _MOST_TABLED) if split == "train" and own else 1
            kept = own[::-1][::stride][::-1]
            shown += [
                Row([f"{row['step']:,}", split, side, measured(row["loss"]), f"{row['accuracy']:.4f}"]) for row in kept
            ]
    return Table("Training curves as numbers", ["step", "split", "run", "loss", "accuracy"], shown)


def _last_values(rows: dict[str, Sequence[dict[str, Any]]]) -> str:
    return " ".join(
        f"Last {split} of {side}: loss {measured(own[-1]['loss'])}, accuracy {own[-1]['accuracy']:.4f}."
        for split in SPLITS
        for side, own in _of(rows, split).items()
        if own
    )
