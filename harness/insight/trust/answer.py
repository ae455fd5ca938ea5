"""A question about a method, answered as far as the measured interval allows."""

from typing import Literal

import numpy as np

from harness.insight.trust.interval import Interval

Answer = Literal["yes", "no", "can't tell"]


def is_above(interval: Interval, bound: float = 0.0) -> Answer:
    """Whether the mean is above a bound: yes or no where the whole interval is on one side, else nobody can tell."""
    if np.isfinite([interval.low, interval.high]).all():
        if interval.low > bound:
            return "yes"
        if interval.high < bound:
            return "no"
    return "can't tell"


def is_below(interval: Interval, bound: float) -> Answer:
    """Whether the mean is below a bound, likewise."""
    return is_above(Interval(-interval.mean, -interval.high, -interval.low), -bound)
