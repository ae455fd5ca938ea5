"""How many images are explained: as many as insight.images asks for, or as the budget allows."""

from collections.abc import Collection

import keras

from harness.insight.layers import convolution, has_convolutions
from harness.insight.trust import BASELINES, MOST_EXPLAINED_AGAIN, STEPS
from harness.insight.trust.sanity import SEEDS, cascade_steps
from harness.insight.work import BACKWARD, SPEED, work

_FEWEST = 2
"""Of each kind, whatever they cost: of three kinds they are enough for an interval."""
_KINDS = 3
_GRADIENTS = {"smoothgrad": 50, "integrated_gradients": 100, "contrast": 100}
"""For a map; one for a method that isn't named here or below."""
_FORWARD = {"occlusion": 170, "rise": 1000}
"""Forward passes for a map."""
_CURVES = (STEPS + 1) * 2 * len(BASELINES)
"""Forward passes that show what becomes of an image as pixels are taken away, for one map."""
_CONTROLS = 6
"""Maps that are held against those of the methods."""
_OTHER_CHECKS = 6
"""How often those other than the sanity check make a map of an image again."""


def images_a_kind(logits: keras.Model, methods: Collection[str], asked: int, seconds: float) -> int:
    """How many images of each kind can be explained, and the maps checked, in that time at the speed of two cores.

    By counting passes through the model and not with a clock, so that equal runs show equal images, however busy the
    machine is.

    Args:
        methods: by their names in `insight.methods`.
        asked: the most, as in `insight.images`.
    """
    of_a_map = sum(_passes(logits, name) for name in methods)
    of_an_image = 2 * of_a_map + _CURVES * (len(methods) + _CONTROLS)
    again = SEEDS * len(cascade_steps(logits)) + _OTHER_CHECKS
    affordable = seconds * SPEED / work(logits)

    def passes(count: int) -> float:
        images = _KINDS * count
        return images * of_an_image + min(images, MOST_EXPLAINED_AGAIN) * again * of_a_map

    return next((count for count in range(asked, _FEWEST, -1) if passes(count) <= affordable), min(asked, _FEWEST))


def _passes(logits: keras.Model, name: str) -> float:
    """Of a map of that method, in forward passes."""
    if name == "scorecam" and has_convolutions(logits):
        return float(convolution(logits).filters)
    return float(_FORWARD.get(name, BACKWARD * _GRADIENTS.get(name, 1)))
