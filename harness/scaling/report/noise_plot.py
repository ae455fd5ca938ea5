"""The gradient noise scale along training, beside the critical batch that it is meant to predict."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from harness.page.picture import INK, Picture
from harness.page.wording import number
from harness.scaling.fit.curve import Analysis
from harness.scaling.report.estimates import cell
from harness.scaling.report.plot import (
    critical_batch,
    drawing,
    finished,
    labels,
    legend_below,
    log_limits,
    number_axis,
)
from harness.scaling.tables.measurements import NoiseWindow

_MOST_LINES = 5
_MISSING = "not yet known"


def noise_plot(analysis: Analysis, noise: Sequence[NoiseWindow], results: dict[str, Any]) -> Picture:
    """B_simple, and its preconditioned variant where there is one, over the course of one trial a batch."""
    title = "Gradient noise scale along training"
    shown, bold = _chosen(analysis, noise, results)
    kinds = ["b_simple"] + ["b_preconditioned"] * any(window.b_preconditioned for window in noise)
    figure, panels = drawing(title, len(kinds), 4.9)
    known = [
        value
        for trial in shown.values()
        for window in trial
        for kind in kinds
        if (value := _values(window, kind)[0]) is not None and 0 < value < math.inf
    ]
    critical = [value for value in (analysis.fit.b_crit.value,) if analysis.fit.identified]
    # A short window's value may be anything: the few that are far out don't set the scale for all.
    most = np.quantile(known, [0.05, 0.95], method="nearest").tolist() if known else []
    limits = log_limits([*most, *critical] or [1.0], 2)
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.85, len(shown)))
    for axes, kind in zip(panels, kinds, strict=True):
        number_axis(axes, "y", *limits)
        axes.set_xlim(0, 100)
        for (batch, trial), colour in zip(shown.items(), colours, strict=True):
            _line(axes, trial, kind, limits, tuple(colour), batch, batch == bold)
        critical_batch(axes, analysis.fit, along="y")
        labels(axes, "share of the trial's steps, %", "noise scale, examples" if axes is panels[0] else "")
        if len(kinds) > 1:
            name = "$B_{simple}$" if kind == "b_simple" else "preconditioned (Adam)"
            axes.set_title(name, fontsize=9.5, color=INK, loc="left")
    legend_below(figure, 3)
    unknown = sum(window.b_simple is None for window in noise)
    return finished(
        figure,
        "noise-scale",
        title,
        f"Averages over windows of training, for one trial per batch. The shaded band is the 95% interval at batch "
        f"{number(bold)}, the one closest to B_crit. Gaps: not known yet, because the gradient can't be told from its "
        "noise. A line may leave the frame where a window is too uncertain. "
        "Compare it with B_crit by order of magnitude only.",
        f"Noise scale along training for {len(shown)} batches; {len(noise)} windows, {unknown} of them not yet known.",
        (
            "global batch",
            "learning rate",
            "seed",
            "steps",
            "B_simple",
            "from",
            "to",
            "preconditioned",
            "from",
            "to",
        ),
        [
            (
                number(window.global_batch),
                number(window.learning_rate),
                str(window.seed),
                f"{window.first_step:,} to {window.last_step:,}",
                _MISSING if window.b_simple is None else number(window.b_simple),
                cell(window.low),
                cell(window.high),
                _MISSING if window.b_preconditioned is None else number(window.b_preconditioned),
                cell(window.preconditioned_low),
                cell(window.preconditioned_high),
            )
            for window in noise
        ],
    )


def _chosen(
    analysis: Analysis, noise: Sequence[NoiseWindow], results: dict[str, Any]
) -> tuple[dict[int, list[NoiseWindow]], int]:
    """The windows of one trial for each of a few batches, and the batch to compare with B_crit, which is among them.

    A batch's trial is a reported one, if one of those was measured.
    """
    reported = {
        (trial.global_batch, trial.learning_rate, trial.seed)
        for batch in analysis.batches
        for trial in batch.reported
        if trial.status == "reached"
    }
    trials: defaultdict[tuple[int, float, int], list[NoiseWindow]] = defaultdict(list)
    for window in noise:
        trials[window.global_batch, window.learning_rate, window.seed].append(window)
    one_each: dict[int, list[NoiseWindow]] = {}
    for key in sorted(trials, key=lambda key: (key[0], key not in reported, key[2], key[1])):
        one_each.setdefault(key[0], sorted(trials[key], key=lambda window: window.first_step))
    batches = list(one_each)
    if results["noise_scale"] is not None:
        bold = results["noise_scale"]["headline"]["global_batch"]
    else:
        bold = min(batches, key=lambda batch: abs(math.log(batch / analysis.fit.b_crit.value)))
    evenly = {batches[round(i)] for i in np.linspace(0, len(batches) - 1, min(_MOST_LINES, len(batches)))}
    return {batch: one_each[batch] for batch in batches if batch in evenly | {bold}}, bold


def _values(window: NoiseWindow, kind: str) -> tuple[float | None, float | None, float | None]:
    if kind == "b_simple":
        return window.b_simple, window.low, window.high
    return window.b_preconditioned, window.preconditioned_low, window.preconditioned_high


def _line(
    axes: Axes,
    trial: list[NoiseWindow],
    kind: str,
    limits: tuple[float, float],
    colour: tuple[float, ...],
    batch: int,
    bold: bool,
) -> None:
    steps = np.array([edge for window in trial for edge in (window.first_step - 1, window.last_step)], float)
    values: NDArray[np.float64] = np.array([_values(window, kind) for window in trial for _ in range(2)], float)
    share = 100 * steps / steps[-1]
    axes.plot(
        share,
        values[:, 0],
        color=colour,
        linewidth=2.6 if bold else 1.2,
        label=f"batch {number(batch)}",
        zorder=2 + bold,
    )
    if bold:
        low, high = np.clip(values[:, 1:].T, *limits)
        axes.fill_between(share, low, high, color=colour, alpha=0.22, linewidth=0)
