import math

import pytest

from harness.scaling.fit.curve import Estimate
from harness.scaling.report.estimates import from_json, interval, with_interval


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(2, 5, "2 to 5"), (2, math.inf, "at least 2"), (0, 5, "at most 5"), (0, math.inf, "no bound")],
)
def test_an_open_interval_is_a_bound(low: float, high: float, text: str) -> None:
    assert interval(Estimate(3, low, high)) == text
    assert with_interval(Estimate(3, low, high)) == f"3 ({text})"


def test_an_estimate_of_the_results_has_none_for_infinity() -> None:
    assert from_json({"value": 3.0, "low": 0.0, "high": None}) == Estimate(3, 0, math.inf)
