from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.insight.trust.interval import CORRELATION, PROBABILITY, SIZE, Interval, mean_over_draws, mean_over_images

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]


def test_the_interval_is_about_two_standard_errors() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    told = mean_over_images(values)
    assert told.mean == values.mean()
    error = values.std() / 20
    np.testing.assert_allclose([told.low, told.high], [told.mean - 1.96 * error, told.mean + 1.96 * error], atol=0.03)


def test_an_interval_of_five_by_hand() -> None:
    # Mean 3, variance 2.5, standard error 0.7071; Student's t of 4 degrees of freedom is 2.7764.
    np.testing.assert_allclose(mean_over_images(np.arange(1.0, 6)), (3, 3 - 1.9633, 3 + 1.9633), atol=1e-4)


def test_an_interval_of_correlations_by_hand_in_fishers_z() -> None:
    values = np.array([0.9, 0.8, 0.95, 0.7, 0.9])
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(5)
    z, reach = np.arctanh(mean), 2.776445 * error / (1 - mean**2)
    expected = (mean, np.tanh(z - reach), np.tanh(z + reach))
    np.testing.assert_allclose(mean_over_images(values, CORRELATION), expected, rtol=1e-6)


# Shaped as ours are: areas near 0, correlations near 1, differences of areas; each with its mean.
SHAPES: dict[str, tuple[Draw, float, tuple[float, float] | None]] = {
    "areas, most of them small": (lambda of, n: of.beta(1, 8, n), 1 / 9, PROBABILITY),
    "areas, small or large": (lambda of, n: of.beta(0.6, 2, n), 0.6 / 2.6, PROBABILITY),
    "correlations near 1": (lambda of, n: 2 * of.beta(12, 2, n) - 1, 5 / 7, CORRELATION),
    "correlations around 0": (lambda of, n: 2 * of.beta(5, 5, n) - 1, 0, CORRELATION),
    "sizes": (lambda of, n: of.gamma(4, 0.25, n), 1, SIZE),
    "sizes, some of them large": (lambda of, n: of.gamma(2, 0.5, n), 1, SIZE),
    "differences": (lambda of, n: of.beta(1, 8, n) - of.beta(2, 5, n), 1 / 9 - 2 / 7, None),
}


@pytest.mark.parametrize("n", [5, 24])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_interval_holds_the_mean_about_95_times_in_100(shape: str, n: int) -> None:
    draw, mean, bounds = SHAPES[shape]
    of = np.random.default_rng(7)
    held = [told.low <= mean <= told.high for told in (mean_over_images(draw(of, n), bounds) for _ in range(2000))]
    assert 0.93 <= np.mean(held) <= 0.97


@pytest.mark.parametrize("between_draws", [0, 0.1, 0.3])
def test_an_interval_over_draws_holds_the_mean_for_other_draws_too(between_draws: float) -> None:
    of = np.random.default_rng(3)
    held = []
    for _ in range(1500):
        values = of.normal(0, 0.2, (1, 12)) + between_draws * of.normal(0, 1, (3, 1)) + of.normal(0, 0.2, (3, 12))
        told = mean_over_draws(values)
        held.append(told.low <= 0 <= told.high)
    assert 0.93 <= np.mean(held) <= 0.98


def test_an_interval_over_draws_by_hand() -> None:
    # Draws differ by 0.2, images by 0, nothing is left: M_d = 5 · 0.02 = 0.1, of 1 degree of freedom, t = 12.706.
    values = np.array([[0.4] * 5, [0.6] * 5])
    reach = 12.7062 * np.sqrt(0.1 / 10)
    np.testing.assert_allclose(mean_over_draws(values), (0.5, 0.5 - reach, 0.5 + reach), rtol=1e-4)
    assert mean_over_draws(values[:1]) == pytest.approx((0.4, 0.4, 0.4))


def test_many_intervals_hold_together() -> None:
    of = np.random.default_rng(5)
    held = []
    for _ in range(800):
        told = [mean_over_images(of.normal(0, 1, 8), together=9) for _ in range(9)]
        held.append(all(each.low <= 0 <= each.high for each in told))
    assert 0.93 <= np.mean(held) <= 0.97


def test_values_at_a_bound_are_taken_at_their_word() -> None:
    assert mean_over_images(np.ones(6), CORRELATION) == Interval(1, 1, 1)
    inside = mean_over_images(np.array([1, 1, 1, 1, 0.2]), CORRELATION)
    assert inside.low < inside.mean < inside.high < 1


def test_sizes_have_an_interval_above_zero() -> None:
    values = np.array([0.1, 0.1, 0.1, 0.1, 2])
    assert mean_over_images(values).low < 0
    told = mean_over_images(values, SIZE)
    assert 0 < told.low < told.mean < told.high
    assert told.mean / told.low == pytest.approx(told.high / told.mean)
    assert mean_over_images(np.zeros(6), SIZE) == Interval(0, 0, 0)


def test_what_is_not_known_is_left_out() -> None:
    assert mean_over_images(np.array([2.0, np.nan, 4.0])).mean == 3
    assert np.isnan(mean_over_images(np.array([np.nan, np.nan]))).all()
    assert mean_over_draws(np.array([[1.0, np.nan], [3.0, 5.0]])).mean == 2


def test_fewer_than_five_images_have_a_mean_and_no_interval() -> None:
    few = mean_over_images(np.array([1.0, 1.1, np.nan, 0.9, 1.0]))
    assert few.mean == 1
    assert np.isnan([few.low, few.high]).all()
