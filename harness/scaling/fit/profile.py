"""The best fit, and for each parameter the interval that its profile likelihood leaves."""

import math

import numpy as np
from scipy.optimize import brentq  # type: ignore[import-untyped]
from scipy.special import stdtrit  # type: ignore[import-untyped]

from harness.scaling.fit import likelihood
from harness.scaling.fit.likelihood import B_CRIT, FARTHEST, S_MIN, SIGMA, Floats, Observations


def best_fit(observations: Observations) -> tuple[Floats, float]:
    """[3] parameters of the highest of the maxima found from several starts, and its log likelihood."""
    parameters, values = likelihood.maximum(observations, likelihood.starts(observations))
    best = int(values.argmax())
    return parameters[best], float(values[best])


def intervals(observations: Observations, best: Floats, value: float) -> dict[str, tuple[float, float]]:
    """The 95 % profile intervals of "s_min", "e_min" and "b_crit" around the `best_fit`; from 0 or to infinity where
    the likelihood has no end on that side.

    An end is where the log likelihood, maximised over the other two parameters, has fallen by `threshold`.
    """
    level = value - threshold(len(observations.low))
    low, high = _interval(observations, best, level, B_CRIT, observations.b_crit_bounds)
    s_min = _interval(observations, best, level, S_MIN, _search_limits(best[S_MIN]))
    examples = np.array([best[S_MIN] + best[B_CRIT], -best[B_CRIT], best[SIGMA]])
    e_min = _interval(observations.mirrored(), examples, level, S_MIN, _search_limits(examples[S_MIN]))
    return {
        # B_crit without an upper end is S_min without a lower one, at the same E_min; and the other way round.
        "s_min": (0.0 if high == math.inf else s_min[0], s_min[1]),
        "e_min": (0.0 if low == 0 else e_min[0], e_min[1]),
        "b_crit": (low, high),
    }


def threshold(trials: int) -> float:
    """How far the profile log likelihood falls from its top to the ends of the 95 % interval.

    (n/2)·log(1 + t²/(n - 2)) with Student's t at n - 2 degrees of freedom: exact for a normal linear model with two
    coefficients, where it gives the t interval; for large n the usual 1.92.
    """
    if trials <= 2:
        return math.inf
    return trials / 2 * math.log1p(float(stdtrit(trials - 2, 0.975)) ** 2 / (trials - 2))


def _interval(
    observations: Observations, best: Floats, level: float, index: int, limits: tuple[float, float]
) -> tuple[float, float]:
    low, high = (_end(observations, best, level, index, limit) for limit in limits)
    return (0.0 if low is None else math.exp(low)), (math.inf if high is None else math.exp(high))


def _end(observations: Observations, best: Floats, level: float, index: int, limit: float) -> float | None:
    """Where, between `best` and `limit`, the profile of parameter `index` crosses `level`; None where it does not."""
    latest = best

    def above(place: float) -> float:
        nonlocal latest
        start = np.stack([latest, best])
        start[:, index] = place
        if index == B_CRIT:  # S_min moves with it, so that the curve still goes through the trials
            expected = likelihood.log_steps(best, observations.log_batch)
            start[:, S_MIN] += (expected - likelihood.log_steps(start, observations.log_batch)).mean(axis=1)
        parameters, values = likelihood.maximum(observations, start, fixed=index)
        latest = parameters[values.argmax()]
        return float(values.max()) - level

    if level == -math.inf:
        return None
    inner, step = float(best[index]), math.copysign(0.25, limit - best[index])
    while inner != limit:
        outer = inner + step
        if abs(outer - best[index]) >= abs(limit - best[index]):
            outer = limit
        if above(outer) < 0:
            return float(brentq(above, inner, outer, xtol=1e-4))
        inner, step = outer, 2 * step
    return None


def _search_limits(place: float) -> tuple[float, float]:
    return float(place) - 3 * FARTHEST, float(place) + 3 * FARTHEST
