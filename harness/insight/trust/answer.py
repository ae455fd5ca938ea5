"""A question about a method, answered as far as the measured interval allows."""

from collections.abc import Collection
from typing import Literal

import numpy as np

from harness.insight.trust.interval import Interval

Answer = Literal["yes", "no", "can't tell"]


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
