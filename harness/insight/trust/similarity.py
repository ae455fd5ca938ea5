"""How alike two sets of maps are, image by image."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]
from scipy.stats import rankdata  # type: ignore[import-untyped]

_WINDOW = 1.5
"""Standard deviation of SSIM's window, in pixels, as in the paper."""


def spearman(a: NDArray[Any], b: NDArray[Any], among: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Spearman's rank correlation of the pixels of two maps each, (n, height, width) → (n,); ties share a mean rank.

    Where a map is constant there is no correlation: 1 if both are, 0 if one is. Of fewer than two pixels, NaN.

    Args:
        among: (n, height, width), the pixels that count; all where it is None.
    """
    ranks: Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]
    if among is None:
        ranks = zip(*(rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (a, b)), strict=True)
    else:
        ranks = ((rankdata(x[m]), rankdata(y[m])) for x, y, m in zip(a, b, among, strict=True))
    return np.array([_correlation(*of_image) for of_image in ranks])


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    if len(x) < 2:
        return np.nan
    p, q = x - x.mean(), y - y.mean()
    p_norm, q_norm = np.sqrt((p**2).sum()), np.sqrt((q**2).sum())
    if p_norm == 0 or q_norm == 0:
        return float(p_norm == q_norm)
    return float((p * q).sum() / (p_norm * q_norm))


def ssim(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """The structural similarity of two maps each, (n, height, width) → (n,), after each is divided by its largest |v|.

    Wang et al. 2004, "Image Quality Assessment" (IEEE Transactions on Image Processing 13, 600), equation 13, with its
    constants 0.01 and 0.03, under a Gaussian window of 1.5 pixels. Scaled as by Adebayo et al.: from -1 to 1 for an
    image where one of its two maps has a negative value, else from 0 to 1.
    """
    signed = np.minimum(a, b).min(axis=(1, 2), keepdims=True) < 0
    luminance, contrast = ((k * (1 + signed)) ** 2 for k in (0.01, 0.03))
    x, y = (_scaled(maps.astype(np.float64)) for maps in (a, b))
    x_mean, y_mean = _windowed(x), _windowed(y)
    x_variance, y_variance = _windowed(x * x) - x_mean**2, _windowed(y * y) - y_mean**2
    covariance = _windowed(x * y) - x_mean * y_mean
    similarity = (2 * x_mean * y_mean + luminance) * (2 * covariance + contrast)
    similarity /= (x_mean**2 + y_mean**2 + luminance) * (x_variance + y_variance + contrast)
    result: NDArray[np.float64] = similarity.mean(axis=(1, 2))
    return result


def _scaled(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = np.abs(maps).max(axis=(1, 2), keepdims=True)
    return maps / np.where(largest > 0, largest, 1)


def _windowed(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = gaussian_filter(maps, (0, _WINDOW, _WINDOW))
    return result


def foreground(images: NDArray[Any]) -> NDArray[np.bool_]:
    """Where images (n, height, width, channels) differ from their own most frequent pixel: (n, height, width)."""
    return np.stack([_differs_from_most_frequent(image) for image in images])


def _differs_from_most_frequent(image: NDArray[Any]) -> NDArray[np.bool_]:
    pixels = image.reshape(-1, image.shape[-1])
    values, counts = np.unique(pixels, axis=0, return_counts=True)
    differs: NDArray[np.bool_] = np.any(pixels != values[counts.argmax()], axis=1).reshape(image.shape[:2])
    return differs
