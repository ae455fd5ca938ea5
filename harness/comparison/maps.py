"""The maps of both models for the same images and classes, and how alike they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.config.insight import InsightSection
from harness.errors import UserError
from harness.insight.saliency import Maps
from harness.insight.trust.similarity import spearman
from harness.report.explanation import methods_for
from harness.report.subject import Subject


@dataclass(frozen=True)
class MapPair:
    a: Maps
    b: Maps
    """(n, height, width)"""
    likeness: NDArray[np.float64]
    """(n,), Spearman's rank correlation of their pixels."""


def pairs(
    a: Subject,
    b: Subject,
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
        found[name] = MapPair(maps[0], maps[1], spearman(maps[0], maps[1]))
    return found
