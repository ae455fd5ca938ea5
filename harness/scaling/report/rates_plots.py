"""Which learning rates were tried at which batch, what became of them, and which was best."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from harness.page.picture import INK, Picture
from harness.page.wording import number
from harness.scaling.fit.curve import Analysis
from harness.scaling.report.estimates import cell
from harness.scaling.report.plot import (
    BLUE,
    DOWN,
    MUTED_LINE,
    UP,
    VERMILION,
    beside,
    drawing,
    finished,
    labels,
    legend_below,
    log_limits,
    measured_axis,
    number_axis,
    pitch,
)
from harness.scaling.tables.trials import Trial

_POINTS = 380
"""About how wide the axis of the trials' plot is."""


def best_rate_plot(analysis: Analysis, trials: Sequence[Trial]) -> Picture:
    """The best learning rate against the batch, between the two usual rules."""
    title = "Best learning rate against global batch"
    figure, (axes,) = drawing(title)
    tried = sorted({(trial.global_batch, trial.learning_rate) for trial in trials})
    best = [(batch.global_batch, batch.learning_rate, batch.edge) for batch in analysis.batches if batch.learning_rate]
    sizes = [batch for batch, _ in tried]
    measured_axis(axes, "x", sizes, *log_limits(sizes))
    number_axis(axes, "y", *log_limits([rate for _, rate in tried], 2))
    axes.plot(*zip(*tried, strict=True), "_", color="#9a9a9a", markersize=11, mew=1.4, label="tried")
    along = np.array(axes.get_xlim())
    for size, rate, _ in sorted(best, key=lambda batch: batch[2] is not None)[:1]:  # a bracketed one, if there is any
        start = f"from batch {number(size)}"
        axes.plot(along, rate * along / size, label=f"linear rule {start}", **MUTED_LINE)
        axes.plot(
            along,
            rate * np.sqrt(along / size),
            label=f"square-root rule {start}",
            **MUTED_LINE | {"linestyle": (0, (6, 2, 1, 2))},
        )
    axes.plot([size for size, _, _ in best], [rate for _, rate, _ in best], color=BLUE, linewidth=1, alpha=0.6)
    for size, rate, edge in best:
        if edge is None:
            axes.plot(size, rate, "o", color=BLUE, markersize=8, linestyle="none", label="best")
        else:
            arrow = UP if edge == "high" else DOWN
            axes.plot(size, rate, marker=arrow, color=BLUE, mfc="none", markersize=32, mew=1.5, linestyle="none")
            axes.plot(
                size,
                rate,
                "o",
                mfc="white",
                mec=BLUE,
                mew=1.6,
                markersize=8,
                linestyle="none",
                label="best of those tried, at the edge of the grid: unbracketed",
            )
    labels(axes, "global batch", "learning rate")
    legend_below(figure)
    unbracketed = [number(size) for size, _, edge in best if edge]
    return finished(
        figure,
        "best-rate",
        title,
        "The rate that took the fewest steps on the selection seeds, between the two usual scaling rules. An open "
        "point is the lowest or the highest rate tried: the best rate may lie beyond it, where the arrow points.",
        f"Best learning rate for {len(best)} batches: {'; '.join(f'{number(r)} at {number(b)}' for b, r, _ in best)}. "
        f"Unbracketed: {', '.join(unbracketed) or 'none'}.",
        ("global batch", "best learning rate", "unbracketed", "lowest tried", "highest tried", "rates tried"),
        [
            (
                number(batch.global_batch),
                cell(batch.learning_rate),
                {"low": "at the low edge", "high": "at the high edge", None: ""}[batch.edge],
                number(min(rates)),
                number(max(rates)),
                str(len(rates)),
            )
            for batch in analysis.batches
            if (rates := [rate for size, rate in tried if size == batch.global_batch])
        ],
    )


def trials_plot(analysis: Analysis, trials: Sequence[Trial]) -> Picture:
    """Every trial by its batch and learning rate: reached, missed or diverged, and the best rate of each batch."""
    title = "Every trial by batch and learning rate"
    figure, (axes,) = drawing(title)
    cells: defaultdict[tuple[int, float], list[Trial]] = defaultdict(list)
    for trial in sorted(trials, key=lambda trial: (trial.global_batch, trial.learning_rate, trial.seed)):
        cells[trial.global_batch, trial.learning_rate].append(trial)
    sizes = [batch for batch, _ in cells]
    measured_axis(axes, "x", sizes, *log_limits(sizes))
    number_axis(axes, "y", *log_limits([rate for _, rate in cells], 2))
    between = pitch(sizes, max(map(len, cells.values())), 0.029)
    low, high = log_limits(sizes)
    marker = min(7.5, max(2.5, 0.8 * _POINTS * between / math.log(high / low)))
    places = {
        trial: (beside(size, index, len(own), between), rate)
        for (size, rate), own in cells.items()
        for index, trial in enumerate(own)
    }
    best = {(batch.global_batch, batch.learning_rate) for batch in analysis.batches}
    for key, own in cells.items():
        if key in best:
            _ring(axes, [places[trial][0] for trial in own], key[1], marker)
    axes.plot([], [], "o", mfc="white", mec=INK, markersize=11, linestyle="none", label="best rate of its batch")
    looks: dict[str, dict[str, Any]] = {
        "missed": {"marker": "^", "mfc": "white", "mec": INK, "label": "missed: target not reached within the budget"},
        "diverged": {"marker": "X", "mfc": VERMILION, "mec": "white", "mew": 0.3, "label": "diverged"},
    }
    for status, look in looks.items():
        own_places = [place for trial, place in places.items() if trial.status == status]
        if own_places:
            axes.plot(*zip(*own_places, strict=True), linestyle="none", **{"markersize": marker, "mew": 1.1} | look)
    reached = [(*place, trial.steps * trial.global_batch) for trial, place in places.items() if trial.steps is not None]
    if reached:
        x, y, examples = zip(*reached, strict=True)
        low, high = log_limits(examples, 1.001)
        dots = axes.scatter(
            x, y, c=examples, norm=LogNorm(low, high), cmap="viridis", s=marker**2, zorder=3, label="reached"
        )
        bar = figure.colorbar(dots, ax=axes, pad=0.02, aspect=30)
        bar.set_label("examples to target", fontsize=9.5, color=INK)
        bar.ax.tick_params(labelsize=8.5, colors=INK)
        number_axis(bar.ax, "y", low, high)
    labels(axes, "global batch", "learning rate")
    legend_below(figure)
    counts = ", ".join(f"{sum(t.status == status for t in trials)} {status}" for status in ("reached", *looks))
    return finished(
        figure,
        "trials",
        title,
        "One mark per trial; seeds of the same batch and rate are side by side. A circle's colour shows the examples "
        "it took. Missed and diverged trials are part of the result: dropping them would flatter large batches.",
        f"All {len(trials)} trials by global batch and learning rate: {counts}.",
        ("global batch", "learning rate", "seed", "status", "steps from", "steps to", "examples to target"),
        [
            (
                number(trial.global_batch),
                number(trial.learning_rate),
                str(trial.seed),
                trial.status,
                number(trial.steps_low),
                cell(trial.steps_high),
                cell(trial.steps, trial.global_batch),
            )
            for own in cells.values()
            for trial in own
        ],
    )


def _ring(axes: Axes, x: list[float], y: float, marker: float) -> None:
    """A ring around the marks of one batch and rate, behind them."""
    ends = [min(x) * 0.9999, max(x) * 1.0001]  # a line of no length would not be drawn
    for width, colour in ((marker + 8, INK), (marker + 5.5, "white")):
        axes.plot(ends, [y, y], color=colour, linewidth=width, solid_capstyle="round", zorder=1.5)
