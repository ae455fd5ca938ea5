from fractions import Fraction
from math import comb

import numpy as np
import pytest

from harness.comparison.outcomes import Outcomes, outcomes, p_in_words
from harness.comparison.sections import outcomes_section


def exact_p(b: int, c: int) -> Fraction:
    """Both tails of the fair coin, counted."""
    tail = sum((Fraction(comb(b + c, k), 2 ** (b + c)) for k in range(min(b, c) + 1)), Fraction())
    return min(Fraction(1), 2 * tail)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (0, 5), (0, 6), (3, 3), (10, 2), (28, 23), (14, 37), (400, 300)])
def test_p_is_that_of_the_fair_coin_in_exact_fractions(b: int, c: int) -> None:
    assert Outcomes(9000, b, c, 5).p == pytest.approx(float(exact_p(b, c)), rel=1e-12)


def test_p_by_hand() -> None:
    assert Outcomes(0, 0, 6, 0).p == pytest.approx(2 / 64)
    assert Outcomes(0, 1, 5, 0).p == pytest.approx(2 * 7 / 64)
    assert Outcomes(0, 4, 4, 0).p == 1
    assert Outcomes(7, 0, 0, 3).p == 1


def test_the_interval_is_that_of_the_published_example() -> None:
    # R's PropCIs 0.3-0, diffpropci.mp(b = 40, c = 20, n = 160, conf.level = 0.95), which takes c - b.
    low, high = Outcomes(50, 40, 20, 50).interval
    assert (-high, -low) == pytest.approx((-0.21601726, -0.03089632), abs=1e-7)


def test_the_interval_has_a_width_where_all_agree_and_stays_within_one() -> None:
    low, high = Outcomes(100, 0, 0, 0).interval
    assert low == -high < 0
    assert Outcomes(0, 3, 0, 0).interval[1] <= 1


def test_counts_by_who_is_right() -> None:
    labels = np.array([0, 1, 2, 3, 4])
    found = outcomes(labels, np.array([0, 1, 2, 9, 9]), np.array([0, 1, 9, 3, 8]))
    assert found == Outcomes(both=2, only_a=1, only_b=1, neither=1)
    assert found.images == 5
    assert found.accuracies == (3 / 5, 3 / 5)


@pytest.mark.parametrize(
    ("b", "c", "verdict"), [(0, 5, "no telling"), (0, 6, "B"), (6, 0, "A"), (5, 5, "no telling"), (0, 0, "no telling")]
)
def test_there_is_no_telling_unless_p_is_below_a_twentieth(b: int, c: int, verdict: str) -> None:
    found = Outcomes(80, b, c, 2)
    assert found.verdict == verdict
    assert found.words.startswith("too close to call" if verdict == "no telling" else verdict)


def test_the_page_says_which_of_two_counts_where_interval_and_verdict_part() -> None:
    found = Outcomes(9000, 0, 5, 995)
    assert found.verdict == "no telling"
    assert found.interval[1] < 0
    assert any("The verdict follows the exact test" in told for told in outcomes_section(found).paragraphs)


def test_a_small_p_is_never_told_as_zero() -> None:
    assert p_in_words(1e-30) == "< 0.001"
    assert p_in_words(0.0312) == "= 0.031"
    assert p_in_words(1.0) == "= 1"
