"""The likelihood of censored steps to target, and its maximum for many sets of weights at once.

    log S_i = log S_min + log(1 + B_crit/B_i) + ε_i,   ε_i ~ N(0, σ²)

What is known of S_i is an interval (low, high]: between two evaluation points where the target was reached, (last
step, ∞) where it was not. With u and v the standardised log ends, a trial's likelihood is Φ(v) - Φ(u).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr  # type: ignore[import-untyped]

from harness.scaling.tables.trials import Trial

Floats = NDArray[np.float64]

S_MIN, B_CRIT, SIGMA = 0, 1, 2
"""Places in a row of parameters: log S_min, log B_crit, log σ."""

FARTHEST = math.log(1e6)
"""B_crit is looked for up to a million times beyond the batches there are, on a log scale."""

_SIGMA_BOUNDS = math.log(1e-3), math.log(20)
"""Where the curve goes through every interval the likelihood is the same for all smaller σ."""


@dataclass(frozen=True)
class Observations:
    """Trials as [n] arrays: log batch, and the log ends of the intervals that hold the steps to target."""

    log_batch: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> Self:
        return cls(
            np.log([float(trial.global_batch) for trial in trials]),
            np.array([math.log(trial.steps_low) if trial.steps_low else -math.inf for trial in trials]),
            np.array([math.inf if trial.steps_high is None else math.log(trial.steps_high) for trial in trials]),
        )

    def mirrored(self) -> Self:
        """The same model in examples: E = E_min·(1 + (1/B_crit)/(1/B)), so that E_min takes the place of S_min,
        1/B_crit that of B_crit."""
        return type(self)(-self.log_batch, self.low + self.log_batch, self.high + self.log_batch)

    @property
    def b_crit_bounds(self) -> tuple[float, float]:
        return float(self.log_batch.min()) - FARTHEST, float(self.log_batch.max()) + FARTHEST


def log_steps(parameters: Floats, log_batch: Floats) -> Floats:
    """[..., n] expected log steps at [n] log batches, for [..., 3] parameters."""
    return parameters[..., :1] + np.logaddexp(0, parameters[..., 1:2] - log_batch)


def starts(observations: Observations) -> Floats:
    """[k, 3] parameters to begin from: B_crit from far below the batches to far above, the rest by least squares."""
    low, high = observations.low, observations.high
    middle = np.where(np.isinf(high), low, np.where(np.isinf(low), high - math.log(2), (low + high) / 2))
    edges = observations.log_batch.min(), observations.log_batch.max()
    b_crit = np.array([edges[0] - FARTHEST, *np.linspace(edges[0] - 2, edges[1] + 2, 7), edges[1] + FARTHEST])
    parameters = np.stack([np.zeros_like(b_crit), b_crit, np.zeros_like(b_crit)], axis=1)
    rest = middle - log_steps(parameters, observations.log_batch)
    parameters[:, S_MIN] = rest.mean(axis=1)
    parameters[:, SIGMA] = np.log(np.clip(rest.std(axis=1), 0.01, 3))
    return parameters


def maximum(
    observations: Observations, start: Floats, weights: Floats | None = None, fixed: int | None = None
) -> tuple[Floats, Floats]:
    """Climb from each of [d, 3] parameters to a maximum of the likelihood by Newton's method.

    The Hessian's eigenvalues are taken absolute, so that every step goes uphill; a step that gains nothing is halved.

    Args:
        weights: [d, n] how often each trial counts; all once if None.
        fixed: the parameter that stays as it is.

    Returns [d, 3] parameters and [d] log likelihoods.
    """
    counts = np.ones((len(start), len(observations.low))) if weights is None else weights
    parameters, value = start.copy(), np.full(len(start), -np.inf)
    active = np.arange(len(start))
    for _ in range(_MOST_STEPS):
        at = parameters[active]
        value[active], gradient, hessian = derivatives(observations, at, counts[active])
        step = _uphill(at, gradient, hessian, observations.b_crit_bounds, fixed)
        going = (gradient * step).sum(axis=1) > _LEAST_GAIN
        active, at, step = active[going], at[going], step[going]
        if not len(active):
            break
        parameters[active] = _line_search(observations, at, step, counts[active], value[active])
    return parameters, value


_MOST_STEPS = 100
_LEAST_GAIN = 1e-8
_LONGEST_STEP = 2.0


def _line_search(observations: Observations, at: Floats, step: Floats, counts: Floats, value: Floats) -> Floats:
    found, open_ = at.copy(), np.arange(len(at))
    for halvings in range(30):
        tried = _clipped(at[open_] + step[open_] / 2**halvings, observations.b_crit_bounds)
        gained = _value(observations, tried, counts[open_]) > value[open_]
        found[open_[gained]] = tried[gained]
        open_ = open_[~gained]
        if not len(open_):
            break
    return found


def _uphill(
    at: Floats, gradient: Floats, hessian: Floats, b_crit_bounds: tuple[float, float], fixed: int | None
) -> Floats:
    """[d, 3] Newton steps; none for a fixed parameter, nor beyond a bound."""
    held = np.zeros(at.shape, bool)
    if fixed is not None:
        held[:, fixed] = True
    for index, bounds in ((B_CRIT, b_crit_bounds), (SIGMA, _SIGMA_BOUNDS)):
        held[:, index] |= (at[:, index] <= bounds[0]) & (gradient[:, index] < 0)
        held[:, index] |= (at[:, index] >= bounds[1]) & (gradient[:, index] > 0)
    gradient = np.where(held, 0, gradient)
    hessian = np.where(held[:, :, None] | held[:, None, :], 0, hessian)
    values, vectors = np.linalg.eigh(hessian)
    curvature = np.maximum(np.abs(values), 1e-10)
    along = np.einsum("dji,dj->di", vectors, gradient) / curvature
    step: Floats = np.where(held, 0, np.einsum("dij,dj->di", vectors, along))
    longest = np.abs(step).max(axis=1, keepdims=True)
    shortened: Floats = step * np.minimum(1, _LONGEST_STEP / np.maximum(longest, 1e-300))
    return shortened


def _clipped(parameters: Floats, b_crit_bounds: tuple[float, float]) -> Floats:
    parameters[:, B_CRIT] = parameters[:, B_CRIT].clip(*b_crit_bounds)
    parameters[:, SIGMA] = parameters[:, SIGMA].clip(*_SIGMA_BOUNDS)
    return parameters


def _standardised(observations: Observations, parameters: Floats) -> tuple[Floats, Floats, Floats]:
    """[d, n] each: the standardised ends u and v, and log(Φ(v) - Φ(u))."""
    expected, sigma = log_steps(parameters, observations.log_batch), np.exp(parameters[:, SIGMA:])
    u, v = (observations.low - expected) / sigma, (observations.high - expected) / sigma
    # In the upper tail Φ(v) - Φ(u) = Φ(-u) - Φ(-v), where the right side keeps its digits.
    upper = u > 0
    smaller, larger = log_ndtr(np.where(upper, -v, u)), log_ndtr(np.where(upper, -u, v))
    return u, v, larger + np.log(-np.expm1(smaller - larger))


def _value(observations: Observations, parameters: Floats, counts: Floats) -> Floats:
    *_, logs = _standardised(observations, parameters)
    total: Floats = (counts * logs).sum(axis=1)
    return total


def derivatives(observations: Observations, parameters: Floats, counts: Floats) -> tuple[Floats, Floats, Floats]:
    """[d] log likelihoods, their [d, 3] gradients and [d, 3, 3] Hessians."""
    u, v, logs = _standardised(observations, parameters)
    p, pu, puu, puuu = _moments(u, logs)
    q, qv, qvv, qvvv = _moments(v, logs)
    sigma = np.exp(parameters[:, SIGMA:])
    # By μ, the expected log steps, and s = log σ: du/dμ = -1/σ, du/ds = -u, and likewise for v.
    by_mu, by_s = (p - q) / sigma, pu - qv
    by_mu_mu = (pu - qv) / sigma**2 - by_mu**2
    by_mu_s = (puu - qvv - p + q) / sigma - by_mu * by_s
    by_s_s = puuu - qvvv - pu + qv - by_s**2
    # dμ/dlog S_min = 1 and dμ/dlog B_crit = w = B_crit/(B + B_crit), whose own derivative is w(1 - w).
    w = 1 / (1 + np.exp(observations.log_batch - parameters[:, 1:2]))

    def total(values: Floats) -> Floats:
        summed: Floats = (counts * values).sum(axis=1)
        return summed

    gradient = np.stack([total(by_mu), total(by_mu * w), total(by_s)], axis=1)
    first, second, third = total(by_mu_mu), total(by_mu_mu * w), total(by_mu_s)
    both, mixed = total(by_mu_mu * w**2 + by_mu * w * (1 - w)), total(by_mu_s * w)
    hessian = np.stack([first, second, third, second, both, mixed, third, mixed, total(by_s_s)], axis=1)
    return total(logs), gradient, hessian.reshape(-1, 3, 3)


def _moments(end: Floats, logs: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """φ(end)/(Φ(v) - Φ(u)) times the end's powers 0 to 3; 0 for an infinite end."""
    infinite = np.isinf(end)
    finite = np.where(infinite, 0, end)
    density = np.exp(np.where(infinite, -np.inf, -0.5 * finite**2 - 0.5 * math.log(2 * math.pi) - logs))
    return density, density * finite, density * finite**2, density * finite**3
