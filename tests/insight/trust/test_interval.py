import numpy as np

from harness.insight.trust.interval import mean_over_images


def test_the_interval_is_about_two_standard_errors() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    told = mean_over_images(values)
    assert told.mean == values.mean()
    error = values.std() / 20
    np.testing.assert_allclose([told.low, told.high], [told.mean - 1.96 * error, told.mean + 1.96 * error], atol=0.03)


def test_what_is_not_known_is_left_out() -> None:
    assert mean_over_images(np.array([2.0, np.nan, 4.0])).mean == 3
    assert np.isnan(mean_over_images(np.array([np.nan, np.nan]))).all()


def test_zero_is_outside_or_inside() -> None:
    assert mean_over_images(np.array([1.0, 1.1, 0.9, 1.2, 0.8])).excludes_zero
    assert not mean_over_images(np.array([1.0, -1.1, 0.2, -0.3, 0.4])).excludes_zero


def test_fewer_than_five_images_have_a_mean_and_no_interval() -> None:
    few = mean_over_images(np.array([1.0, 1.1, np.nan, 0.9, 1.0]))
    assert few.mean == 1
    assert np.isnan([few.low, few.high]).all()
    assert not few.excludes_zero
