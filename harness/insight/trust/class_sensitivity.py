"""Does a map change with the class that it explains?

In the spirit of Sixt et al. 2020, "When Explanations Lie" (arXiv 1912.09818), who compare maps of two logits of one
image; the yardstick, how much maps of two images differ, is ours.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.saliency import METHODS, Maps
from harness.insight.trust.interval import Answer, Interval, is_above, mean_over_images
from harness.insight.trust.similarity import spearman
from harness.models.logits import is_independent

_BOUNDS = (0.0, 2.0)
"""Of 1 less a correlation."""
HALFWAY = 0.5
"""Between a map that is the same for both classes and one that changes as much as with the image."""


@dataclass(frozen=True)
class ClassSensitivity:
    """How a method's maps of two classes differ: 1 - Spearman's correlation of the maps with their signs, 0 to 2."""

    between_classes: Interval
    """Of one image, explained for the predicted class and for the runner-up."""
    between_images: Interval
    """Of two images, each explained for its predicted class; an image's mean over the others."""
    beyond_halfway: Interval
    """The first less half of the second, image by image."""

    @property
    def class_specific(self) -> Answer:
        """Yes where another class changes the map more than half as much as another image does.

        In other words: of what varies between maps, more belongs to the class than to the image whatever the class.
        Maps that share a place (a digit's strokes, the middle) are alike between images as well, which this takes
        into account. A map that differs between classes by noise alone would pass: whether it depends on the model and
        is stable are questions of their own.
        """
        return is_above(self.beyond_halfway)


class NotAsked(NamedTuple):
    """In place of an answer that would be decided by what is asked, and not by the model."""

    reason: str
    """A few words, such as "two classes"."""


def has_two_classes(logits: keras.Model) -> bool:
    """Whether what speaks for one class speaks against the other: two classes that share one probability.

    Of logits -z/2 and z/2 a map with signs is the other class's turned over, and one without is the same for both.
    """
    return logits.output_shape[-1] == 2 and not is_independent(logits)


def not_asked(logits: keras.Model, method: str) -> NotAsked | None:
    """Why it isn't asked whether a method, by its name in METHODS, is class-specific; None where it is."""
    if has_two_classes(logits):
        return NotAsked("two classes")
    return NotAsked("a map of two classes at once") if METHODS[method].of_two_classes else None


def runner_up(outputs: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.intp]:
    """From logits (n, classes) the highest class but the labels', (n,)."""
    others = outputs.astype(np.float64)
    others[np.arange(len(labels)), labels] = -np.inf
    return np.asarray(others.argmax(axis=1))


def class_sensitivity(maps: Maps, of_runner_up: Maps, *, together: int = 1) -> ClassSensitivity:
    """Compare maps (n, height, width) of the predicted classes with the same images' maps of the runners-up.

    With fewer than two images there is no yardstick, and its intervals are NaN.

    Args:
        maps: as they are compared: of a CAM its cells (`saliency.views`).
        together: methods whose answers are read beside each other (Bonferroni).
    """
    classes = 1 - spearman(maps, of_runner_up)
    images = np.full(len(maps), np.nan)
    for number in range(len(maps)):
        others = np.delete(maps, number, axis=0)
        if len(others):
            images[number] = (1 - spearman(np.broadcast_to(maps[number], others.shape), others)).mean()
    return ClassSensitivity(
        mean_over_images(classes, _BOUNDS),
        mean_over_images(images, _BOUNDS),
        mean_over_images(classes - HALFWAY * images, together=together),
    )
