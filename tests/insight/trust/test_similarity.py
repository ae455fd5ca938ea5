import numpy as np
import pytest
from scipy.stats import spearmanr  # type: ignore[import-untyped]

from harness.insight.trust.similarity import (
    foreground,
    own_similarity,
    spearman,
    spearman_across,
    spearman_to_mean,
    ssim,
)


def maps(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-3, 4, (3, 6, 5)).astype(np.float32)  # with many ties


def test_spearman_is_that_of_scipy_image_by_image() -> None:
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(maps(0), maps(1), strict=True)]
    np.testing.assert_allclose(spearman(maps(0), maps(1)), expected, rtol=1e-12)


def test_spearman_by_hand() -> None:
    # Ranks 1 2 3 4 and 2 1 4 3: 1 - 6 · (1 + 1 + 1 + 1) / (4 · 15) = 0.6.
    a, b = np.array([[[1, 2], [3, 4]]]), np.array([[[20, 10], [40, 30]]])
    assert spearman(a, b)[0] == pytest.approx(0.6)


def test_spearman_among_some_pixels_does_not_see_the_others() -> None:
    a, b = maps(0), maps(1)
    among = np.zeros(a.shape, np.bool_)
    among[:, 1:4, 1:4] = True
    expected = spearman(a[:, 1:4, 1:4], b[:, 1:4, 1:4])
    np.testing.assert_array_equal(spearman(a, b, among), expected)


def test_a_constant_map_is_like_a_constant_one_only() -> None:
    flat = np.ones((1, 4, 4))
    rough = np.arange(16.0).reshape(1, 4, 4)
    assert spearman(flat, 2 * flat)[0] == 1
    assert spearman(flat, rough)[0] == 0


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_pixels_have_no_correlation(count: int) -> None:
    rough = np.arange(32.0).reshape(2, 4, 4)
    among = np.ones((2, 4, 4), np.bool_)
    among[0] = False
    among[0, 1, :count] = True
    np.testing.assert_array_equal(spearman(rough, rough, among), [np.nan, 1])


def test_ssim_of_equal_maps_is_one_and_does_not_see_their_scale() -> None:
    a = maps(0)
    np.testing.assert_allclose(ssim(a, 7 * a), 1, rtol=1e-9)


def ssim_window_by_window(a: np.ndarray, b: np.ndarray, largest: int) -> float:
    """Of two maps scaled from `-largest + 1` to 1; beyond the border they are mirrored, 4 standard deviations far."""
    radius = 6
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-(offsets[:, np.newaxis] ** 2 + offsets**2) / (2 * 1.5**2))
    weights /= weights.sum()
    x, y = (np.pad(of / np.abs(of).max(), radius, mode="symmetric") for of in (a, b))
    values = []
    for row in range(a.shape[0]):
        for column in range(a.shape[1]):
            window = slice(row, row + 2 * radius + 1), slice(column, column + 2 * radius + 1)
            p, q = x[window], y[window]
            p_mean, q_mean = (weights * p).sum(), (weights * q).sum()
            p_variance, q_variance = (weights * (p - p_mean) ** 2).sum(), (weights * (q - q_mean) ** 2).sum()
            covariance = (weights * (p - p_mean) * (q - q_mean)).sum()
            c1, c2 = (0.01 * largest) ** 2, (0.03 * largest) ** 2
            luminance = (2 * p_mean * q_mean + c1) / (p_mean**2 + q_mean**2 + c1)
            values.append(luminance * (2 * covariance + c2) / (p_variance + q_variance + c2))
    return float(np.mean(values))


def textured(seed: int) -> np.ndarray:
    """Two maps: waves, fainter in the first, under noise drawn by `seed`; nothing is negative."""
    waves = 1 + np.sin(np.arange(20) / 3) * np.cos(np.arange(17)[:, np.newaxis] / 2)
    return np.stack([0.05 * waves, waves]) + 0.1 * np.random.default_rng(seed).random((2, 17, 20))


def test_ssim_is_that_of_each_window_and_of_each_image() -> None:
    a, b = textured(0), textured(1)
    b[1] -= 0.3
    assert b[1].min() < 0
    expected = [ssim_window_by_window(a[0], b[0], 1), ssim_window_by_window(a[1], b[1], 2)]
    np.testing.assert_allclose(ssim(a, b), expected, rtol=1e-9)
    np.testing.assert_allclose([ssim(a[i : i + 1], b[i : i + 1])[0] for i in (0, 1)], expected, rtol=1e-9)


def test_ssim_of_flat_maps_by_hand() -> None:
    # No variance: (2 x y + c) / (x² + y² + c) with c = 0.01²; after scaling 1 and 0.
    value = ssim(np.ones((1, 8, 8)), np.zeros((1, 8, 8)))[0]
    assert value == pytest.approx(1e-4 / (1 + 1e-4))


def test_ssim_falls_as_the_structure_goes() -> None:
    random = np.random.default_rng(0)
    a = random.random((1, 28, 28))
    noise = random.random((1, 28, 28))
    values = [ssim(a, (1 - share) * a + share * noise)[0] for share in (0, 0.3, 1)]
    assert values[0] > values[1] > values[2]
    assert abs(values[2]) < 0.35


def test_foreground_is_what_differs_from_the_most_frequent_pixel() -> None:
    white = np.full((1, 4, 4, 3), 255, np.uint8)
    white[0, 1, 2] = (255, 254, 255)
    assert np.argwhere(foreground(white)).tolist() == [[0, 1, 2]]


def test_own_similarity_by_hand() -> None:
    # Lengths 5, so units (.6, .8), (.8, .6); their mean is (.7, .7); (-.1, .1) and (.1, -.1) are left, and the reverse.
    a = np.array([[[3.0, 4.0]], [[4.0, 3.0]]])
    found = own_similarity(a, 2 * a[::-1])
    np.testing.assert_allclose(found.same, [-1, -1])
    np.testing.assert_allclose(found.others, [1, 1])


def test_a_common_map_makes_maps_alike_but_not_in_what_is_their_own() -> None:
    draw = np.random.default_rng(0)
    common, ours, theirs = (draw.random(shape) for shape in ((1, 20, 20), (16, 20, 20), (16, 20, 20)))
    a, b = 5 * common + ours, 5 * common + theirs
    assert spearman(a, b).mean() > 0.9
    assert abs(own_similarity(a, b).same.mean()) < 0.05
    assert own_similarity(a, 5 * common + ours + theirs).same.mean() == pytest.approx(np.sqrt(0.5), abs=0.05)


def test_positions_that_are_always_zero_take_no_part_and_scale_does_not_matter() -> None:
    a, b = maps(0), maps(1)
    scales = np.array([1, 10, 100])[:, np.newaxis, np.newaxis]
    wider = own_similarity(np.pad(a, ((0, 0), (0, 9), (0, 9))), scales * np.pad(b, ((0, 0), (0, 9), (0, 9))))
    np.testing.assert_allclose(wider.same, own_similarity(a, b).same)
    np.testing.assert_allclose(wider.others, own_similarity(a, b).others)


def test_a_map_with_nothing_of_its_own_is_like_another_such_only() -> None:
    flat = np.ones((3, 6, 5))
    assert own_similarity(flat, 2 * flat).same.tolist() == [1, 1, 1]
    assert own_similarity(flat, 2 * flat).others.tolist() == [0, 0, 0]
    assert own_similarity(flat, maps(0)).same.tolist() == [0, 0, 0]


def test_one_image_has_nothing_to_share() -> None:
    assert np.isnan(own_similarity(maps(0)[:1], maps(1)[:1])).all()
    assert np.isnan(spearman_across(maps(0)[:1], maps(1)[:1])).all()
    assert np.isnan(spearman_to_mean(maps(0)[:1])).all()


def test_spearman_across_is_the_mean_over_the_pairs_of_different_images() -> None:
    a, b = maps(0), maps(1)
    pairs = {(i, j): spearman(a[i : i + 1], b[j : j + 1])[0] for i in range(3) for j in range(3)}
    expected = [np.mean([pairs[i, j] for j in range(3) if j != i]) for i in range(3)]
    np.testing.assert_allclose(spearman_across(a, b), expected)


def test_spearman_to_mean_is_with_the_mean_of_the_others() -> None:
    a = maps(0)
    units = a / np.sqrt((a**2).sum(axis=(1, 2), keepdims=True))
    expected = spearman(a[:1], units[1:].mean(axis=0, keepdims=True))
    np.testing.assert_allclose(spearman_to_mean(a)[:1], expected)
