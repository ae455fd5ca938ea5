"""What the target costs: steps and examples against the batch, and one against the other."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from harness.page.picture import INK, MUTED, Picture
from harness.page.wording import number
from harness.scaling.fit.curve import Analysis
from harness.scaling.fit.selection import BatchResult
from harness.scaling.report.estimates import cell, with_interval
from harness.scaling.report.plot import (
    BLUE,
    GREEN,
    MUTED_LINE,
    OVER,
    UP,
    VERMILION,
    beside,
    caveat,
    critical_batch,
    drawing,
    finished,
    fitted,
    labels,
    legend_below,
    log_limits,
    measured_axis,
    number_axis,
    pitch,
    style,
)

_BEYOND = 4
"""How many times beyond what was measured an axis goes to show what was fitted."""
_POINTS = np.array([430, 290])
"""About how wide and high the axes are."""


def steps_plot(analysis: Analysis) -> Picture:
    """Steps to target against the global batch."""
    return _to_target(
        analysis,
        "steps",
        lambda batch: 1.0,
        "Each point is the median over seeds at the best learning rate for its batch; the bar is their range. Along "
        "the dotted line, twice the batch needs half the steps; where the points leave it, a larger batch gains less.",
    )


def examples_plot(analysis: Analysis) -> Picture:
    """Examples to target (steps × global batch) against the global batch."""
    return _to_target(
        analysis,
        "examples",
        float,
        "The same trials in examples (steps × global batch): what the target costs in computation. Along the dotted "
        "line, a larger batch costs nothing extra; at B_crit it costs twice the minimum.",
    )


def tradeoff_plot(analysis: Analysis) -> Picture:
    """Steps against examples, and the hyperbola (S/S_min - 1)(E/E_min - 1) = 1 (McCandlish et al. 2018, eq. 2.7)."""
    fit = analysis.fit
    known = [batch for batch in analysis.batches if batch.median is not None]
    sizes = np.array([batch.global_batch for batch in known], float)
    steps = np.array([batch.median for batch in known], float)
    ends = np.array([(batch.low or batch.median, batch.high or batch.median) for batch in known], float).reshape(-1, 2)
    title = "Steps against examples to target"
    figure, (axes,) = drawing(title)
    all_sizes = np.array([batch.global_batch for batch in analysis.batches], float)
    curve = fit.steps(all_sizes)
    x = [*curve, *ends.ravel()]
    y = [*curve * all_sizes, *(ends * sizes[:, None]).ravel()]
    number_axis(axes, "x", *log_limits([max(fit.s_min.value, min(x) / _BEYOND), *x]))
    number_axis(axes, "y", *log_limits([max(fit.e_min.value, min(y) / _BEYOND), *y]))
    along = np.geomspace(all_sizes.min() / 64, all_sizes.max() * 64, 500)
    hyperbola = "$(S/S_{min} - 1)(E/E_{min} - 1) = 1$" + ("" if fit.identified else ", not identified")
    axes.plot(fit.steps(along), fit.steps(along) * along, label=hyperbola, **style(fit))
    axes.axvline(fit.s_min.value, label=f"$S_{{min}}$ {with_interval(fit.s_min)} steps", **MUTED_LINE)
    axes.axhline(
        fit.e_min.value,
        label=f"$E_{{min}}$ {with_interval(fit.e_min)} examples",
        **MUTED_LINE | {"linestyle": (0, (6, 2, 1, 2))},
    )
    for size, both in zip(sizes, ends, strict=True):
        axes.plot(both, both * size, color=INK, linewidth=1.2)
    _name_points(axes, sizes, steps, fit.b_crit.value)
    axes.plot(steps, steps * sizes, "o", color=INK, markersize=6, label="median and range, with its batch")
    if fit.identified:
        knee = 2 * fit.s_min.value, 2 * fit.e_min.value
        axes.plot(
            *knee,
            "D",
            color=GREEN,
            markersize=8,
            mfc="none",
            mew=1.8,
            label=f"$B_{{crit}}$ {with_interval(fit.b_crit)}",
        )
    labels(axes, "steps to target, S", "examples to target, E")
    legend_below(figure)
    return finished(
        figure,
        "tradeoff",
        title,
        "Small batches need the fewest examples (computation); large ones need the "
        "fewest steps (time). None gets below S_min or E_min; at B_crit = E_min/S_min both are twice the minimum."
        + caveat(fit),
        f"Steps against examples to target for {len(known)} batches, with the fitted hyperbola: "
        f"S_min {with_interval(fit.s_min)} steps, E_min {with_interval(fit.e_min)} examples.",
        ("global batch", "median steps", "median examples", "fitted steps", "fitted examples"),
        [
            (number(size), number(median), number(median * size), number(fit_steps), number(fit_steps * size))
            for size, median, fit_steps in zip(sizes, steps, fit.steps(sizes), strict=True)
        ],
    )


def _name_points(axes: Axes, sizes: NDArray[np.float64], steps: NDArray[np.float64], b_crit: float) -> None:
    """Each point's batch above it, or to its right from B_crit on, where the curve is steep; where there is room."""
    low, high = np.log([axes.get_xlim(), axes.get_ylim()]).T
    taken: list[tuple[float, float, float]] = []  # middle and half the width of a name, in points
    for size, count in zip(sizes, steps, strict=True):
        name, above = number(size), size < b_crit
        x, y = (np.log([count, count * size]) - low) / (high - low) * _POINTS
        half = 3.3 * len(name)
        x, y = (x, y + 15) if above else (x + 11 + half, y)
        if all(abs(x - other) > half + width or abs(y - height) > 12 for other, height, width in taken):
            taken.append((x, y, half))
            axes.annotate(
                name,
                (count, count * size),
                (0, 9) if above else (11, 0),
                textcoords="offset points",
                ha="center" if above else "left",
                va="bottom" if above else "center",
                fontsize=9,
                color=INK,
                bbox=OVER,
            )


def _to_target(analysis: Analysis, unit: str, weight: Callable[[float], float], caption: str) -> Picture:
    """One of the two plots against the batch: what a step weighs at each batch is all they differ in."""
    fit, batches = analysis.fit, analysis.batches
    title = f"{unit.capitalize()} to target against global batch"
    figure, (axes,) = drawing(title)
    sizes = np.array([batch.global_batch for batch in batches], float)
    critical = np.clip([fit.b_crit.low, fit.b_crit.high], sizes.min() / _BEYOND, sizes.max() * _BEYOND)
    measured_axis(axes, "x", sizes, *log_limits([*sizes, *critical]))
    scale = np.array([[weight(size)] for size in sizes])
    along = np.geomspace(*axes.get_xlim(), 200)
    weights = np.array([weight(size) for size in along])
    low, high = fit.band(along)
    axes.plot(along, fit.steps(along) * weights, label=fitted(fit), **style(fit))
    axes.fill_between(along, low * weights, high * weights, color=BLUE, alpha=0.15, linewidth=0)
    heights: list[float] = []
    between = pitch(sizes, max(len(batch.reported) for batch in batches), 0.012)
    for batch in batches:
        factor = weight(batch.global_batch)
        heights += _batch(axes, batch, factor, between)
        heights.append(float(fit.steps(batch.global_batch)) * factor)
    medians = [(batch.global_batch, batch.median) for batch in batches if batch.median is not None]
    for size, median in medians[:1]:
        perfect = median * size / along * weights
        axes.plot(along, perfect, label=f"perfect scaling from batch {number(size)}", **MUTED_LINE)
    number_axis(axes, "y", *log_limits(heights, 1.7))
    critical_batch(axes, fit)
    labels(axes, "global batch", f"{unit} to target")
    legend_below(figure)
    values = [f"{number(median * weight(size))} at batch {number(size)}" for size, median in medians]
    return finished(
        figure,
        unit,
        title,
        caption + caveat(fit),
        f"{title}, both logarithmic. Medians: {'; '.join(values) or 'none'}. The fit: S_min "
        f"{with_interval(fit.s_min)} steps, B_crit {with_interval(fit.b_crit)}.",
        ("global batch", "learning rate", f"median {unit}", "lowest", "highest", "fit", "fit from", "fit to", "naive"),
        [
            (
                number(batch.global_batch),
                cell(batch.learning_rate),
                *(cell(value, weight(batch.global_batch)) for value in (batch.median, batch.low, batch.high)),
                *(number(float(value)) for value in fit_there),
                cell(batch.naive_minimum, weight(batch.global_batch)),
            )
            for batch, fit_there in zip(batches, np.stack([fit.steps(sizes), *fit.band(sizes)]).T * scale, strict=True)
        ],
    )


def _batch(axes: Axes, batch: BatchResult, factor: float, between: float) -> list[float]:
    """Draw one batch, its trials that far apart; the heights it needs."""
    heights = []
    ends = [None if value is None else value * factor for value in (batch.low, batch.median, batch.high)]
    if batch.naive_minimum is not None:
        heights.append(batch.naive_minimum * factor)
        axes.plot(
            batch.global_batch,
            heights[-1],
            "_",
            color="#8a8a8a",
            markersize=13,
            mew=1.5,
            label="naive minimum over all trials (biased low)",
        )
    for index, trial in enumerate(batch.reported):
        x = beside(batch.global_batch, index, len(batch.reported), between)
        if trial.steps is not None:
            height = trial.steps * factor
            axes.plot(x, height, ".", color=MUTED, markersize=5, label="one trial")
        else:
            height = max(trial.steps_low, 1) * factor
            if trial.status == "missed":
                look: dict[str, Any] = {
                    "marker": UP,
                    "markersize": 22,
                    "color": INK,
                    "label": "not reached: more than its last step",
                }
            else:
                look = {"marker": "x", "markersize": 7, "color": VERMILION, "label": "diverged, at its last step"}
            axes.plot(x, height, linestyle="none", mew=1.5, **look)
        heights.append(height)
    low, median, high = ends
    if median is not None:
        axes.plot([batch.global_batch] * 2, [low or median, high or median], color=INK, linewidth=1.3)
        axes.plot(batch.global_batch, median, "o", color=INK, markersize=6, label="median and range over seeds")
    return heights
