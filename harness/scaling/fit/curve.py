"""Steps to target fitted to S = S_min·(1 + B_crit/B): values, intervals, and whether these batches settle B_crit.

Source of the curve: McCandlish et al. 2018 (arXiv 1812.06162), eq. 2.11, with E_min = S_min·B_crit. The large batches'
trials that did not reach the target stay in, as censored ones: without them large batches look better than they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataError
from harness.scaling.fit import likelihood, profile, selection
from harness.scaling.fit.likelihood import B_CRIT, S_MIN, SIGMA, Floats, Observations
from harness.scaling.fit.selection import BatchResult
from harness.scaling.tables.trials import Trial

IDENTIFIED = 0.1
"""The least Σ(w - mean w)² over the batches at which B_crit counts as identified."""

DRAWS = 400
"""Bootstrap draws."""


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval; `low` may be 0 and `high` infinite."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Fit:
    """S = S_min·(1 + B_crit/B), fitted.

    Attributes:
        s_min, e_min, b_crit: least steps, least examples, critical batch = e_min/s_min; with profile intervals.
        bootstrap: "s_min", "e_min", "b_crit": the median and interval over draws of batches, and of seeds within them.
        redrawn: bootstrap draws that were left out, since fewer than two batches in them reached the target.
        sigma: standard deviation of log steps between trials.
        spread: Σ(w - mean w)² over the batches that reached the target, with w = B_crit/(B + B_crit), which is
            dlog S/dlog B_crit: where it is small a change of B_crit looks like one of S_min.
        identified: `spread` is at least 0.1, and the interval of B_crit is closed on both sides.
        bound: where not, the sentence that says what is known of B_crit, from its profile interval.
        next_batch: where not, the batch to run next.
        without_largest: B_crit fitted without the largest batch; None where that leaves fewer than two.
        draws: [draws, 3] log S_min, log B_crit and log σ of the bootstrap.
    """

    s_min: Estimate
    e_min: Estimate
    b_crit: Estimate
    bootstrap: dict[str, Estimate]
    redrawn: int
    sigma: float
    spread: float
    identified: bool
    bound: str | None
    next_batch: int | None
    without_largest: Estimate | None
    draws: Floats = field(repr=False)

    def steps(self, batches: ArrayLike) -> Floats:
        """Fitted steps to target at [n] batches."""
        return self.s_min.value * (1 + self.b_crit.value / np.asarray(batches, np.float64))

    def band(self, batches: ArrayLike) -> tuple[Floats, Floats]:
        """The ends of the 95 % bootstrap interval of the fitted steps at each of [n] batches."""
        curves = np.exp(likelihood.log_steps(self.draws, np.log(np.asarray(batches, np.float64))))
        low, high = np.quantile(curves, _ENDS, axis=0)
        return low, high


@dataclass(frozen=True)
class Analysis:
    """The fit, the batches that it is of, and in sentences what weakens it."""

    batches: list[BatchResult]
    fit: Fit
    warnings: list[str]


def analyse(trials: Sequence[Trial], select_seeds: int = 1, seed: int = 0) -> Analysis:
    """Select the learning rates, fit what is reported at them, and collect what weakens the result.

    Args:
        select_seeds: the rate of each batch is selected on that many of its seeds, the smallest numbers.
        seed: of the bootstrap.

    Raises DataError where nothing can be fitted: fewer than two batch sizes, or fewer that reached the target.
    """
    sizes = sorted({trial.global_batch for trial in trials})
    if not sizes:
        raise DataError("there are no trials to fit")
    if len(sizes) == 1:
        raise DataError(f"all trials have batch {sizes[0]:,}: B_crit needs two batch sizes or more, better seven")
    batches = selection.select(trials, select_seeds)
    reported = [trial for batch in batches for trial in batch.reported]
    reached = [trial for trial in reported if trial.status == "reached"]
    measured = {trial.global_batch for trial in reached}
    if not reached:
        raise DataError(
            f"none of the {len(trials)} trials reached the target: raise the budget (scale.max_examples or "
            "max_seconds), or lower the target"
        )
    if len(measured) == 1:
        raise DataError(
            f"only batch {measured.pop():,} has reported trials that reached the target, and B_crit needs two such "
            "batches or more: raise the budget (scale.max_examples or max_seconds), or lower the target"
        )
    if not any(trial.steps_low for trial in reached):
        raise DataError("every trial reached the target at its first evaluation: evaluate more often")
    warnings = selection.warnings(batches, trials)
    if len(measured) == 2:
        warnings.append(
            f"two batch sizes reached the target, {' and '.join(f'{size:,}' for size in sorted(measured))}: a curve "
            "of two parameters goes through any two points, run a third to check it"
        )
    return Analysis(batches, _fit(reported, seed), warnings)


def rounded(value: float) -> str:
    """A number as a sentence gives it: three significant digits."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{float(f'{value:.3g}'):,.0f}"


def _fit(trials: Sequence[Trial], seed: int) -> Fit:
    trials = _informative(trials)
    observations = Observations.of(trials)
    best, value = profile.best_fit(observations)
    estimates = _estimates(observations, best, value)
    b_crit = estimates["b_crit"]
    measured = sorted({trial.global_batch for trial in trials if trial.status == "reached"})
    spread = spread_of(measured, b_crit.value)
    identified = spread >= IDENTIFIED and b_crit.low > 0 and b_crit.high < math.inf
    draws, redrawn = _bootstrap(trials, observations, best, np.random.default_rng(seed))
    return Fit(
        **estimates,
        bootstrap=_over_draws(draws, observations.log_batch),
        redrawn=redrawn,
        sigma=math.exp(best[SIGMA]),
        spread=spread,
        identified=identified,
        bound=None if identified else _bound(b_crit),
        next_batch=None if identified else next_batch(measured, b_crit),
        without_largest=_without_largest(trials),
        draws=draws,
    )


def spread_of(batches: Sequence[int], b_crit: float) -> float:
    """Σ(w - mean w)² with w = B_crit/(B + B_crit)."""
    w = b_crit / (np.asarray(batches, np.float64) + b_crit)
    return float(((w - w.mean()) ** 2).sum())


def next_batch(batches: Sequence[int], b_crit: Estimate) -> int:
    """The batch nearest to the measured ones, a power of two times the smallest or largest, that lifts the spread to
    0.1; the one that lifts it most where none within a factor of 1,024 does.

    Reckoned with the estimate of B_crit; where its interval is open on one side with the other end, which is all that
    is known of it.
    """
    smallest, largest = min(batches), max(batches)
    known = b_crit.value
    if b_crit.low == 0 or b_crit.high == math.inf:
        end = b_crit.low if b_crit.high == math.inf else b_crit.high
        known = end if 0 < end < math.inf else math.sqrt(smallest * largest)
    factors = [1 << power for power in range(1, 11)]
    candidates = [largest * factor for factor in factors]
    candidates += [smallest // factor for factor in factors if smallest % factor == 0]
    # Rounded so that of two that lift it alike the larger is taken, which costs fewer steps, and not the last bit's.
    spreads = {batch: round(spread_of([*batches, batch], known), 9) for batch in candidates}
    enough = [batch for batch in candidates if spreads[batch] >= IDENTIFIED]
    nearest = sorted(enough, key=lambda batch: (max(batch / largest, smallest / batch), -spreads[batch]))
    return (nearest or sorted(candidates, key=lambda batch: -spreads[batch]))[0]


def _informative(trials: Sequence[Trial]) -> list[Trial]:
    """Without those that ended before their first evaluation: they say nothing of the steps to target."""
    return [trial for trial in trials if trial.steps_low or trial.status == "reached"]


def _estimates(observations: Observations, best: Floats, value: float) -> dict[str, Estimate]:
    s_min, b_crit = math.exp(best[S_MIN]), math.exp(best[B_CRIT])
    values = {"s_min": s_min, "e_min": s_min * b_crit, "b_crit": b_crit}
    found = profile.intervals(observations, best, value)
    return {name: Estimate(values[name], *found[name]) for name in values}


def _bootstrap(
    trials: Sequence[Trial], observations: Observations, best: Floats, random: np.random.Generator
) -> tuple[Floats, int]:
    """[draws, 3] parameters refitted to draws of as many batches as there are, with replacement, and within each of as
    many of its trials; and the number of draws that had to be drawn anew."""
    sizes = np.array([trial.global_batch for trial in trials])
    reached = np.array([trial.status == "reached" for trial in trials])
    members = [np.flatnonzero(sizes == size) for size in np.unique(sizes)]
    weights: list[NDArray[np.int64]] = []
    redrawn = 0
    while len(weights) < DRAWS:
        drawn = np.zeros(len(trials), np.int64)
        times = random.multinomial(len(members), np.full(len(members), 1 / len(members)))
        for rows, count in zip(members, times, strict=True):
            drawn[rows] = random.multinomial(count * len(rows), np.full(len(rows), 1 / len(rows)))
        if len(np.unique(sizes[reached & (drawn > 0)])) < 2:
            redrawn += 1
        else:
            weights.append(drawn)
    start = np.tile(best, (DRAWS, 1))
    draws, _ = likelihood.maximum(observations, start, np.array(weights, np.float64))
    return draws, redrawn


_ENDS = 0.025, 0.975
_AS_GOOD_AS_INFINITE = math.log(1e3)
"""A draw whose B_crit is a thousand times beyond the batches has none: the likelihood no longer tells how far."""


def _over_draws(draws: Floats, log_batch: Floats) -> dict[str, Estimate]:
    log_s, log_b = draws[:, S_MIN], draws[:, B_CRIT]
    none_above = log_b > log_batch.max() + _AS_GOOD_AS_INFINITE
    none_below = log_b < log_batch.min() - _AS_GOOD_AS_INFINITE
    values = {
        "s_min": np.where(none_above, 0, np.exp(log_s)),
        "e_min": np.where(none_below, 0, np.exp(log_s + log_b)),
        "b_crit": np.where(none_above, np.inf, np.where(none_below, 0, np.exp(log_b))),
    }
    estimates = {}
    for name, drawn in values.items():
        # Between infinity and another draw there is nothing to interpolate.
        low, middle, high = np.quantile(drawn, [_ENDS[0], 0.5, _ENDS[1]], method="inverted_cdf")
        estimates[name] = Estimate(float(middle), float(low), float(high))
    return estimates


def _without_largest(trials: Sequence[Trial]) -> Estimate | None:
    largest = max(trial.global_batch for trial in trials)
    rest = [trial for trial in trials if trial.global_batch < largest]
    if len({trial.global_batch for trial in rest if trial.status == "reached"}) < 2:
        return None
    observations = Observations.of(rest)
    return _estimates(observations, *profile.best_fit(observations))["b_crit"]


def _bound(b_crit: Estimate) -> str:
    parts = [f"at least {rounded(b_crit.low)}"] if b_crit.low > 0 else []
    if b_crit.high < math.inf:
        parts.append(f"at most {rounded(b_crit.high)}")
    if not parts:
        return "these trials bound B_crit on neither side"
    return f"B_crit is {' and '.join(parts)} (95% profile interval)"
