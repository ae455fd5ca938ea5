import math

import pytest

from harness.scaling.fit.curve import Estimate
from harness.scaling.report.wording import bounds, number, read, told


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (16384, "16,384"),
        (284.9, "285"),
        (56.94, "56.9"),
        (9.996, "10"),
        (123456, "123,000"),
        (1.5e9, "1,500,000,000"),
        (0.00106066, "0.00106"),
        (3.66e-5, "3.66e-05"),
        (math.inf, "inf"),
    ],
)
def test_a_number_has_three_digits_or_all_of_a_whole_one(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(2, 5, "2 to 5"), (2, math.inf, "at least 2"), (0, 5, "at most 5"), (0, math.inf, "no bound")],
)
def test_an_open_interval_is_a_bound(low: float, high: float, text: str) -> None:
    assert bounds(Estimate(3, low, high)) == text
    assert told(Estimate(3, low, high)) == f"3 ({text})"


def test_an_estimate_of_the_results_has_none_for_infinity() -> None:
    assert read({"value": 3.0, "low": 0.0, "high": None}) == Estimate(3, 0, math.inf)
