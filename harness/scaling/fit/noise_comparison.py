"""The gradient noise scale as one number that may stand beside B_crit: its weighted average up to the target."""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from harness.scaling.fit.curve import Analysis, Estimate
from harness.scaling.tables.measurements import NoiseWindow
from harness.scaling.tables.trials import Trial

CAVEAT = (
    "Order of magnitude only: in the published pair for MNIST, B_crit is 20 at the start and 200 on average, "
    "B_simple 50 and 900 (McCandlish et al. 2018)."
)
INTERVAL = "the average of the windows' own lower, and of their upper, 95 % bounds; medians over the reported trials"

_KINDS: dict[str, Callable[[NoiseWindow], tuple[float | None, float | None, float | None]]] = {
    "b_simple": lambda window: (window.b_simple, window.low, window.high),
    "b_preconditioned": lambda window: (
        window.b_preconditioned,
        window.preconditioned_low,
        window.preconditioned_high,
    ),
}


def compare(analysis: Analysis, noise: Sequence[NoiseWindow]) -> dict[str, Any] | None:
    """The averaged noise scale of each batch's reported trials; None where `noise` has none of them.

    Returns:
        "caveat", "interval": what to know of it, and where its intervals come from.
        "batches": for each batch "global_batch", "trials", and "b_simple" and "b_preconditioned", each an Estimate;
            None where it is not yet known in half of the trials, of which each then counts as unbounded.
        "headline": the one of these whose batch is nearest to B_crit, and there "b_simple_over_b_crit"; None where
            B_crit is not identified.
    """
    rows = [row for batch in analysis.batches if (row := _of_batch(batch.global_batch, batch.reported, noise))]
    if not rows:
        return None
    fit = analysis.fit
    known = [row for row in rows if row["b_simple"] is not None] or rows
    nearest = min(known, key=lambda row: abs(math.log(row["global_batch"] / fit.b_crit.value)))
    ratio = nearest["b_simple"].value / fit.b_crit.value if nearest["b_simple"] and fit.identified else None
    headline = {**nearest, "b_simple_over_b_crit": ratio}
    return {"caveat": CAVEAT, "interval": INTERVAL, "batches": rows, "headline": headline}


def weighted_average(steps: Sequence[int], noise_scales: Sequence[float], batch: int) -> float:
    """Σ wₜ·Bₜ/Σ wₜ over steps t, with wₜ = 1/(1 + Bₜ/B): the average that B_crit of a whole training answers to, in
    which a step counts by the share of its progress that a batch of infinite size would have made.

    Args:
        steps: how many steps each of `noise_scales` stands for.
        batch: B, the global batch of the trial.
    """
    weights = [count / (1 + scale / batch) for count, scale in zip(steps, noise_scales, strict=True)]
    return sum(weight * scale for weight, scale in zip(weights, noise_scales, strict=True)) / sum(weights)


def _of_batch(batch: int, reported: Sequence[Trial], noise: Sequence[NoiseWindow]) -> dict[str, Any] | None:
    trials = [(trial, windows) for trial in reported if trial.steps_high and (windows := _windows(trial, noise))]
    if not trials:
        return None
    row: dict[str, Any] = {"global_batch": batch, "trials": len(trials)}
    for kind in _KINDS:
        median = _median([_average(trial, windows, kind) for trial, windows in trials])
        row[kind] = median if math.isfinite(median.value) else None
    return row


def _windows(trial: Trial, noise: Sequence[NoiseWindow]) -> list[NoiseWindow]:
    """Those that begin before the trial's first evaluation at the target."""
    key = (trial.global_batch, trial.learning_rate, trial.seed)
    end = trial.steps_high or 0
    return [row for row in noise if (row.global_batch, row.learning_rate, row.seed) == key and row.first_step <= end]


def _average(trial: Trial, windows: Sequence[NoiseWindow], kind: str) -> Estimate:
    """Unbounded where a window is not yet known: the average of the others would lack the largest noise scales."""
    end = trial.steps_high or 0
    steps = [min(window.last_step, end) - window.first_step + 1 for window in windows]
    columns = list(zip(*(_KINDS[kind](window) for window in windows), strict=True))
    # The average rises with each of its noise scales, so the windows' bounds give its bounds.
    averages = [weighted_average(steps, known, trial.global_batch) for column in columns if (known := _known(column))]
    return Estimate(*averages) if len(averages) == len(columns) else Estimate(math.inf, 0.0, math.inf)


def _known(column: Sequence[float | None]) -> list[float] | None:
    known = [value for value in column if value is not None]
    return known if len(known) == len(column) else None


def _median(estimates: Sequence[Estimate]) -> Estimate:
    return Estimate(
        statistics.median(estimate.value for estimate in estimates),
        statistics.median(estimate.low for estimate in estimates),
        statistics.median(estimate.high for estimate in estimates),
    )
