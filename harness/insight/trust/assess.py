"""All that is asked of a method's maps before they are believed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.saliency import METHODS, Explain, Maps
from harness.insight.trust.controls import chance, edges
from harness.insight.trust.faithfulness import Faithfulness, faithfulness
from harness.insight.trust.sanity import SEEDS, Sanity, cascade, cascade_steps
from harness.insight.trust.stability import Stability, stability

MOST_EXPLAINED_AGAIN = 16
"""Images of the sanity check and of stability, which make maps of each some dozen times over."""


@dataclass(frozen=True)
class MethodTrust:
    faithfulness: Faithfulness
    sanity: Sanity
    stability: Stability


@dataclass(frozen=True)
class Trust:
    methods: Mapping[str, MethodTrust]
    controls: Mapping[str, Faithfulness]
    """Of pixels in random order ("random") and of an edge detector ("edges")."""


def assessments(logits: keras.Model) -> int:
    """How many times `assess` tells its progress."""
    return 2 + SEEDS * len(cascade_steps(logits))


def assess(
    logits: keras.Model,
    methods: Mapping[str, Explain],
    images: NDArray[Any],
    labels: NDArray[Any],
    maps: Mapping[str, Maps],
    *,
    seed: int = 0,
    progress: Callable[[str], None] = lambda what: None,
) -> Trust:
    """Assess the methods on images (n, height, width, channels) and what the model predicts of them, (n,).

    Faithfulness takes them all; the sanity check and stability 16 of them at most, evenly spread.

    Args:
        logits: functional, from pixels to logits; unchanged in the end.
        methods: by their names in METHODS.
        maps: by method, of these images and labels.
        progress: is given what is being assessed, as it begins.
    """
    progress("deletion and insertion")
    controls: dict[str, Explain] = {"random": partial(chance, seed=seed), "edges": edges}
    drawn = {name: method(logits, images, labels) for name, method in controls.items()}
    faithful = {name: faithfulness(logits, of, images, labels, seed=seed) for name, of in {**maps, **drawn}.items()}
    few = np.unique(np.linspace(0, len(images) - 1, min(len(images), MOST_EXPLAINED_AGAIN)).astype(int))
    some = images[few], labels[few]
    sane = cascade(logits, methods, *some, seed=seed, progress=lambda layer: progress("sanity check"))
    progress("stability")
    of_few = {name: of[few] for name, of in maps.items()}
    drawing = {name for name in methods if METHODS[name].draws}
    stable = stability(logits, methods, *some, of_few, drawing=drawing, seed=seed)
    return Trust(
        {name: MethodTrust(faithful[name], sane[name], stable[name]) for name in methods},
        {name: faithful[name] for name in controls},
    )
