"""Numbers as text, in plots, on the page and in the terminal."""

import math
from typing import Any

from harness.scaling.fit.curve import Estimate


def number(value: float) -> str:
    """Three digits, all of a whole number below 100,000; thousands apart, never an exponent before 1e-4 or 1e15."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) < 1e5 and value == round(value):
        return f"{value:,.0f}"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:,.0f}" if digits <= 0 else f"{rounded:.{digits}g}" if abs(value) < 1e-4 else f"{rounded:.3g}"


def told(estimate: Estimate) -> str:
    """`300 (250 to 360)`."""
    return f"{number(estimate.value)} ({bounds(estimate)})"


def bounds(estimate: Estimate) -> str:
    """`250 to 360`, `at least 250`, `at most 360` or `no bound`."""
    if estimate.low > 0 and math.isfinite(estimate.high):
        return f"{number(estimate.low)} to {number(estimate.high)}"
    if estimate.low > 0:
        return f"at least {number(estimate.low)}"
    return f"at most {number(estimate.high)}" if math.isfinite(estimate.high) else "no bound"


def cell(value: float | None, factor: float = 1) -> str:
    """A number of a table, times that factor; nothing where there is none."""
    return "" if value is None else number(value * factor)


def read(found: dict[str, Any]) -> Estimate:
    """An estimate as the results hold it, where infinity is None."""
    return Estimate(found["value"], found["low"] or 0.0, math.inf if found["high"] is None else found["high"])


def replicas(count: int) -> str:
    """`1 replica`, `2 replicas`."""
    return f"{count} replica{'s' if count != 1 else ''}"
