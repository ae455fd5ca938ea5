"""How alike two sets of maps are, image by image."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]
from scipy.stats import rankdata  # type: ignore[import-untyped]

_WINDOW = 1.5
"""Standard deviation of SSIM's window, in pixels, as in the paper."""
_NOTHING = 1e-5
"""Of a map's length: what is less, after the common map is taken out, is float32's rounding."""


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


def spearman_across(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """How alike maps of different images are: the mean of Spearman's correlations of map i of `a` with map j of `b`,
    j ≠ i. (n, height, width) each → (n,); NaN for one image."""
    return _others(_cosines(_centred_ranks(a), _centred_ranks(b)))


def spearman_to_mean(maps: NDArray[Any]) -> NDArray[np.float64]:
    """Spearman's correlation of each map with the mean of the others, (n, height, width) → (n,); NaN for one image.

    Each is divided by its length before the mean is taken.
    """
    if len(maps) < 2:
        return np.full(len(maps), np.nan)
    units = _units(maps)
    # Not the sum less each: its rounding would put what is equal in an order.
    means = np.stack([np.delete(units, number, axis=0).mean(axis=0) for number in range(len(maps))])
    return spearman(maps, means.reshape(maps.shape))


class OwnSimilarity(NamedTuple):
    """How alike two sets of maps are in what is each image's own, once the map that all images share is taken out."""

    same: NDArray[np.float64]
    """(n,), of the two maps of each image, from -1 to 1."""
    others: NDArray[np.float64]
    """(n,), its map of the first set with the second set's maps of the other images, on average: the null."""


def own_similarity(a: NDArray[Any], b: NDArray[Any]) -> OwnSimilarity:
    """Compare maps (n, height, width) in what sets each image's map apart.

        u_i = m_i / |m_i|,   r_i = u_i - mean over images of u,   similarity = cos(r_i of a, r_j of b)

    Maps of one network share much of their place whatever is in the image, and so do maps of another: that is gone from
    r. A position that is zero in all maps, as a cell that pooling drops, is zero in r, and takes no part. It is linear
    in the maps, so that stretching a layer's cells to pixels adds nothing but weights to the cells that can vary.
    Where nothing is left of both maps of an image, as of a constant one, they are the same: 1. A map with nothing of
    its own is otherwise like none: 0. NaN for one image, which has no others to share with.
    """
    if len(a) < 2:
        return OwnSimilarity(np.full(len(a), np.nan), np.full(len(a), np.nan))
    ours, theirs = _remainders(a), _remainders(b)
    cosines = _cosines(ours, theirs)
    empty = ~ours.any(axis=1) & ~theirs.any(axis=1)
    return OwnSimilarity(np.where(empty, 1, np.diagonal(cosines)), _others(cosines))


def _remainders(maps: NDArray[Any]) -> NDArray[np.float64]:
    units = _units(maps)
    rest = units - units.mean(axis=0)
    nothing = np.linalg.norm(rest, axis=1, keepdims=True) < _NOTHING
    return np.where(nothing, 0, rest)


def _units(maps: NDArray[Any]) -> NDArray[np.float64]:
    """Each map divided by its length, (n, pixels); an empty one stays so."""
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    return flat / np.where(lengths > 0, lengths, 1)


def _centred_ranks(maps: NDArray[Any]) -> NDArray[np.float64]:
    ranks: NDArray[np.float64] = rankdata(maps.reshape(len(maps), -1), axis=1)
    centred: NDArray[np.float64] = ranks - ranks.mean(axis=1, keepdims=True)
    return centred


def _cosines(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row of `a` (n, pixels) with each of `b`, (n, n); 0 where a row is zero."""
    lengths = np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    cosines: NDArray[np.float64] = np.clip(a @ b.T / np.where(lengths > 0, lengths, 1), -1, 1)
    return cosines


def _others(cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each row of (n, n) but for its diagonal."""
    count = len(cosines)
    off_diagonal = cosines.sum(axis=1) - np.diagonal(cosines)
    return off_diagonal / (count - 1) if count > 1 else np.full(count, np.nan)


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
