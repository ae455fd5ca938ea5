"""Fitted numbers with their 95 % intervals as text, in plots, on the page and in the terminal."""

import math
from typing import Any

from harness.page.wording import number
from harness.scaling.fit.curve import Estimate


def with_interval(estimate: Estimate) -> str:
    """`300 (250 to 360)`."""
    return f"{number(estimate.value)} ({interval(estimate)})"


def interval(estimate: Estimate) -> str:
    """`250 to 360`, `at least 250`, `at most 360` or `no bound`."""
    if estimate.low > 0 and math.isfinite(estimate.high):
        return f"{number(estimate.low)} to {number(estimate.high)}"
    if estimate.low > 0:
        return f"at least {number(estimate.low)}"
    return f"at most {number(estimate.high)}" if math.isfinite(estimate.high) else "no bound"


def cell(value: float | None, factor: float = 1) -> str:
    """A number of a table, times that factor; nothing where there is none."""
    return "" if value is None else number(value * factor)


def found_with_interval(found: dict[str, Any] | None) -> str:
    """An estimate of scaling.json: `300 (250 to 360)`, or `not yet known`."""
    return "not yet known" if found is None else with_interval(from_json(found))


def found_interval(found: dict[str, Any]) -> str:
    """The interval of an estimate of scaling.json."""
    return interval(from_json(found))


def from_json(found: dict[str, Any]) -> Estimate:
    """An estimate as scaling.json holds it, where infinity is null."""
    return Estimate(found["value"], found["low"] or 0.0, math.inf if found["high"] is None else found["high"])
