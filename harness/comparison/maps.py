"""The maps of both models for the same images and classes, and how alike they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.config.insight import InsightSection
from harness.errors import UserError
from harness.insight.saliency import Maps
from harness.insight.trust.similarity import own_similarity, spearman, spearman_across
from harness.report.evaluated_model import EvaluatedModel
from harness.report.explanation import methods_for


@dataclass(frozen=True)
class MapPair:
    """The maps of A and B by one method, of the same n images and classes."""

    a: Maps
    b: Maps
    """(n, height, width)"""
    likeness: NDArray[np.float64]
    """(n,), Spearman's rank correlation of their pixels."""
    across: NDArray[np.float64]
    """(n,), that of A's map with B's maps of the other images, on average: what any two maps of this data have in
    common. NaN for one image."""
    own: NDArray[np.float64]
    """(n,), the similarity of what is each image's own, once the map that all images share is taken out of both
    (`similarity.own_similarity`). NaN for one image."""

    @classmethod
    def of(cls, a: Maps, b: Maps) -> "MapPair":
        return cls(a, b, spearman(a, b), spearman_across(a, b), own_similarity(a, b).same)


def pairs(
    a: EvaluatedModel,
    b: EvaluatedModel,
    insight: InsightSection,
    images: NDArray[Any],
    labels: NDArray[Any],
    progress: Callable[[str], None],
) -> Mapping[str, MapPair]:
    """By method the maps of images (n, height, width, channels) for the classes `labels`, (n,), by both models.

    Of the methods that can explain both. Raises UserError where there is none, or a model has no layer `insight.layer`.
    """
    of_a, of_b = methods_for(a, insight), methods_for(b, insight)
    usable = [name for name in of_a if name in of_b]
    if not usable:
        raise UserError(f"insight.methods: none of {', '.join(insight.methods)} can explain both models")
    found = {}
    for name in usable:
        progress(name)
        maps = [methods[name](of.logits, images, labels) for of, methods in ((a, of_a), (b, of_b))]
        found[name] = MapPair.of(maps[0], maps[1])
    return found
