"""A mean over images with its interval, and what that answers."""

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # type: ignore[import-untyped]

_FEWEST = 5
"""Images below which there is no interval: whether so few are skewed can't be seen, and a t interval relies on it."""
_MISS = 0.05
CORRELATION = (-1.0, 1.0)
PROBABILITY = (0.0, 1.0)
SIZE = (0.0, np.inf)
"""Bounds of values."""
Answer = Literal["yes", "no", "can't tell"]


class Interval(NamedTuple):
    """A mean with its 95 % interval; NaN where there was nothing, or for the interval too little, to take it of."""

    mean: float
    low: float
    high: float


def mean_over_images(values: NDArray[Any], bounds: tuple[float, float] | None = None, *, together: int = 1) -> Interval:
    """The mean of (n,) values, one an image, with Student's t interval over the images.

    A percentile bootstrap over 5 to 10 images holds the mean 80 to 90 times in 100; this one about 95 times. Values
    with bounds pile up near one of them, and the interval is taken where they don't: of the mean's logit, which for
    correlations is twice Fisher's z, or for values that only begin somewhere of its logarithm, with the standard error
    of the mean times that one's slope (delta method). So it is of the mean itself, and never leaves the bounds. Where
    one image in many is far larger than the rest, as infidelity can be, it holds the mean some 90 times in 100. Values
    that all are one bound are taken at their word.

    Args:
        values: NaN are left out; with fewer than 5 others the interval is NaN.
        bounds: between which values can be, such as CORRELATION; None for a plain t interval, as for differences.
        together: intervals that are read beside each other, and hold together with 95 % (Bonferroni).
    """
    known = values[np.isfinite(values)].astype(np.float64)
    if len(known) < _FEWEST:
        return Interval(float(known.mean()) if len(known) else np.nan, np.nan, np.nan)
    variance = known.var(ddof=1) / len(known)
    return _interval(known.mean(), variance, len(known) - 1, bounds, together)


def mean_over_draws(values: NDArray[Any], bounds: tuple[float, float] | None = None, *, together: int = 1) -> Interval:
    """The mean of (draws, n) values, an image a column, with an interval that holds for other draws and other images.

    Two random effects: with the mean squares of images, draws and what is left, M_i, M_d and M_e, the mean's variance
    is (M_i + M_d - M_e) / (draws · n), its degrees of freedom Satterthwaite's (Searle et al. 1992, "Variance
    Components", section 4.3). With one draw the interval is over the images alone. Otherwise as `mean_over_images`.
    """
    known = values[:, np.isfinite(values).all(axis=0)].astype(np.float64)
    draws, images = known.shape
    if draws == 1 or images < _FEWEST:
        return mean_over_images(known.mean(axis=0), bounds, together=together)
    of_image, of_draw, mean = known.mean(axis=0), known.mean(axis=1, keepdims=True), known.mean()
    freedom = np.array([images - 1, draws - 1, (images - 1) * (draws - 1)])
    squares = np.array(
        [
            draws * ((of_image - mean) ** 2).sum(),
            images * ((of_draw - mean) ** 2).sum(),
            ((known - of_image - of_draw + mean) ** 2).sum(),
        ]
    )
    by_image, by_draw, left = squares / freedom
    parts = np.array([max(by_image, left), max(by_draw, left), -left])
    total = parts.sum()
    satterthwaite = total**2 / (parts**2 / freedom).sum() if total > 0 else images - 1
    return _interval(mean, total / known.size, satterthwaite, bounds, together)


def _interval(
    mean: float, variance: float, freedom: float, bounds: tuple[float, float] | None, together: int
) -> Interval:
    reach = float(stdtrit(freedom, 1 - _MISS / (2 * together))) * np.sqrt(variance)
    if bounds is None:
        return Interval(float(mean), float(mean - reach), float(mean + reach))
    least, most = bounds
    if most == np.inf:
        if mean <= least:
            return Interval(float(mean), float(mean), float(mean))
        factor = np.exp(reach / (mean - least))
        return Interval(float(mean), float(least + (mean - least) / factor), float(least + (mean - least) * factor))
    share = (mean - least) / (most - least)
    if not 0 < share < 1:
        return Interval(float(mean), float(mean), float(mean))
    logit, slope = np.log(share / (1 - share)), 1 / ((most - least) * share * (1 - share))
    low, high = (least + (most - least) / (1 + np.exp(-(logit + sign * slope * reach))) for sign in (-1, 1))
    return Interval(float(mean), float(low), float(high))


def is_above(interval: Interval, bound: float = 0.0) -> Answer:
    """Whether the mean is above a bound: yes or no where the whole interval is on one side, else it can't be told."""
    if np.isfinite([interval.low, interval.high]).all():
        if interval.low > bound:
            return "yes"
        if interval.high < bound:
            return "no"
    return "can't tell"


def is_below(interval: Interval, bound: float) -> Answer:
    """Whether the mean is below a bound, likewise."""
    return is_above(Interval(-interval.mean, -interval.high, -interval.low), -bound)


def all_hold(each: Collection[Answer], together: Collection[Answer]) -> Answer:
    """Whether all of several things hold that are asked of the same images.

    Args:
        each: from intervals each for itself. Where all are a yes it is one, and a wrong yes is no likelier than for a
            single one, since all must be (an intersection-union test: Berger 1982, Technometrics 24, 295).
        together: from wider intervals that hold together (Bonferroni). Where one is a no it is one: a no by intervals
            each for itself would be the likelier wrong the more are asked.
    """
    if all(answer == "yes" for answer in each):
        return "yes"
    return "no" if "no" in together else "can't tell"
