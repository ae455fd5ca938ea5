"""What maps have in common over many images, and which of them say nothing."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage  # type: ignore[import-untyped]

from harness.insight.saliency import Maps


class Mean(NamedTuple):
    """Of a group of images."""

    map: NDArray[np.float32]
    """(height, width): the mean of |map|, each scaled to a sum of 1 first, so that no image outweighs another."""
    images: int
    """How many with a map; those with an empty one do not count."""


def empty(maps: Maps) -> NDArray[np.bool_]:
    """Which of the maps (n, height, width) are zero everywhere: they say nothing, whatever is drawn of them."""
    without: NDArray[np.bool_] = ~np.any(maps, axis=(1, 2))
    return without


def mean_map(maps: Maps) -> Mean:
    """The mean of maps (n, height, width); zero where each is empty."""
    shares = _shares(maps[~empty(maps)])
    return Mean(shares.mean(axis=0) if len(shares) else np.zeros(maps.shape[1:], np.float32), len(shares))


def clusters(maps: Maps, most: int) -> NDArray[np.intp]:
    """Groups of maps (n, height, width) that are alike: for each map its group's number, the largest group's 0.

    By Ward's method (1963, "Hierarchical Grouping to Optimize an Objective Function") on the maps' absolute values,
    each scaled to length 1, cut into `most` groups at most. Empty maps are in no group: -1.
    """
    groups = np.full(len(maps), -1, np.intp)
    known = np.flatnonzero(~empty(maps))
    if len(known) > 1:
        sizes = np.abs(maps[known]).reshape(len(known), -1)
        tree = linkage(sizes / np.linalg.norm(sizes, axis=1, keepdims=True), method="ward")
        groups[known] = fcluster(tree, most, criterion="maxclust") - 1
    else:
        groups[known] = 0
    found, counts = np.unique(groups[known], return_counts=True)
    for rank, group in enumerate(found[np.argsort(-counts, kind="stable")].tolist()):
        groups[known[groups[known] == group]] = len(maps) + rank  # out of the way of numbers yet to be replaced
    groups[known] -= len(maps)
    return groups


def _shares(maps: Maps) -> Maps:
    sizes = np.abs(maps)
    shares: Maps = sizes / sizes.sum(axis=(1, 2), keepdims=True)
    return shares
