"""All checks of a method's maps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from harness.data.images import evenly
from harness.insight.saliency import METHODS, Explain, Maps, in_parts, views
from harness.insight.trust.beyond import BeyondControls, against_controls, control_curves
from harness.insight.trust.class_sensitivity import (
    ClassSensitivity,
    NotAsked,
    class_sensitivity,
    has_two_classes,
    not_asked,
    runner_up,
)
from harness.insight.trust.controls import chance
from harness.insight.trust.faithfulness import Curves, Faithfulness, deletion_to_black, faithfulness
from harness.insight.trust.sanity import SEEDS, Sanity, cascade, cascade_steps
from harness.insight.trust.stability import Stability, stability

MOST_EXPLAINED_AGAIN = 16
"""Images of the sanity check, of stability and of class sensitivity, which make maps of each some dozen times over; and
how many are explained at a time, since for another number the methods would be compiled anew."""
_MOST_HELD = 2 * MOST_EXPLAINED_AGAIN
"""Images on which methods are compared with the controls, which takes some hundred passes an image and control."""


@dataclass(frozen=True)
class MethodTrust:
    """What each check says of one method."""

    faithfulness: Faithfulness
    beyond: BeyondControls
    class_sensitivity: ClassSensitivity | NotAsked
    sanity: Sanity
    stability: Stability


@dataclass(frozen=True)
class Trust:
    """The checks of all methods."""

    methods: Mapping[str, MethodTrust]
    controls: Mapping[str, Faithfulness]
    """Of maps that know nothing of the model: pixels in random order ("random"), "edges", "brightness" and "centre"."""
    deletion: Mapping[str, Curves]
    """Over black, by method: of all images, including those not compared with the controls."""


def assessments(logits: keras.Model) -> int:
    """How many times `assess` calls `progress`."""
    return 3 + (not has_two_classes(logits)) + SEEDS * len(cascade_steps(logits))


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

    Deletion takes them all; faithfulness, with the controls, 32 of them at most, evenly spread, and what makes maps
    again 16.

    Args:
        logits: functional, from pixels to logits; unchanged in the end.
        methods: by their names in METHODS.
        maps: by method, of these images and labels.
        progress: is given what is being assessed, as it begins.
    """
    progress("deletion and insertion")
    compared = evenly(len(images), held(len(images)))
    shown, of_held = (images[compared], labels[compared]), {name: of[compared] for name, of in maps.items()}
    faithful = {name: faithfulness(logits, of, *shown, seed=seed) for name, of in of_held.items()}
    deleted = {
        name: _deletion(logits, of, images, labels, compared, faithful[name].deletion["black"], seed)
        for name, of in maps.items()
    }
    progress("controls")
    at_a_time = min(len(images), MOST_EXPLAINED_AGAIN)
    by_parts = {name: partial(in_parts, method, at_a_time) for name, method in methods.items()}
    controls = control_curves(logits, by_parts, *shown, of_held, seed=seed)
    by_chance = faithfulness(logits, chance(logits, *shown, seed=seed), *shown, seed=seed)
    few = evenly(len(images), MOST_EXPLAINED_AGAIN)
    some = images[few], labels[few]
    of_few = {name: _compared(name, method, logits, *some, maps[name][few]) for name, method in methods.items()}
    if not has_two_classes(logits):
        progress("another class")
    of_classes = _of_classes(logits, methods, *some, of_few)
    sanity = cascade(logits, methods, *some, seed=seed, progress=lambda layer: progress("sanity check"))
    progress("stability")
    drawing = {name for name in methods if METHODS[name].draws}
    stable = stability(logits, methods, *some, of_few, drawing=drawing, seed=seed)
    together = len(methods)
    return Trust(
        {
            name: MethodTrust(
                faithful[name],
                against_controls(faithful[name], controls.of(name), together=together),
                of_classes[name],
                sanity[name],
                stable[name],
            )
            for name in methods
        },
        {"random": by_chance, **controls.shared},
        deleted,
    )


def _deletion(
    logits: keras.Model,
    maps: Maps,
    images: NDArray[Any],
    labels: NDArray[Any],
    compared: NDArray[np.intp],
    of_compared: Curves,
    seed: int,
) -> Curves:
    """Over black, of all images, where those of the rows `compared` are known."""
    others = np.setdiff1d(np.arange(len(images)), compared)
    if not len(others):
        return of_compared
    rest = deletion_to_black(logits, maps[others], images[others], labels[others], seed=seed)
    places = np.argsort(np.concatenate([compared, others]))
    return Curves(
        np.concatenate([of_compared.values, rest.values])[places],
        np.concatenate([of_compared.moved_at, rest.moved_at])[places],
    )


def _compared(
    name: str, method: Explain, logits: keras.Model, images: NDArray[Any], labels: NDArray[Any], maps: Maps
) -> Maps:
    """The maps of these images and labels as they are compared, made again for their cells alone."""
    return views(method, logits, images, labels).compared if METHODS[name].of_a_layer else maps


def _of_classes(
    logits: keras.Model,
    methods: Mapping[str, Explain],
    images: NDArray[Any],
    labels: NDArray[Any],
    maps: Mapping[str, Maps],
) -> dict[str, ClassSensitivity | NotAsked]:
    """By method; `maps` are of these images and labels, as they are compared."""
    reasons = {name: not_asked(logits, name) for name in methods}
    asked = [name for name, reason in reasons.items() if reason is None]
    others = runner_up(logits.predict_on_batch(images.astype(np.float32)), labels)
    return {
        name: reason
        or class_sensitivity(maps[name], views(methods[name], logits, images, others).compared, together=len(asked))
        for name, reason in reasons.items()
    }


def held(count: int) -> int:
    """How many of so many images are compared with the controls: whole parts, where there are any."""
    return min(count // MOST_EXPLAINED_AGAIN * MOST_EXPLAINED_AGAIN, _MOST_HELD) or count
