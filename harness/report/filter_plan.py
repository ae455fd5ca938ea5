"""How many of a model's filters are analysed: all, or as many as the budget allows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from harness.data.images import evenly
from harness.insight.cost import BACKWARD, SPEED, work
from harness.insight.filters import CLASS_STARTS, STARTS, STEPS
from harness.insight.layers import before_activation, convolutions
from harness.report.evaluated_model import EvaluatedModel

MOST_CLASSES = 20
"""At most so many classes get their image and their feature maps: they fill the page."""
_MOST_LAYERS = 12
"""Likewise."""
_FEWEST_FILTERS = 4
"""Of a layer, if it has so many: rather than fewer of each, fewer layers are analysed."""
_FEWEST_IMAGES = 100
_TRACING = 4e8
"""Work that an operation costs once, before an ascent begins: some 20 milliseconds."""


@dataclass(frozen=True)
class FilterPlan:
    """What is analysed of a model's filters and classes, and of how many."""

    images: NDArray[np.intp]
    """Which of the test images the filters are shown."""
    layers: Mapping[str, range]
    """By layer, from the pixels upwards, the filters that get a patch: all, or every second, third and so on."""
    of_filters: Mapping[str, int]
    """By layer that is looked at, how many it has."""
    of_layers: int
    of_images: int
    classes: int
    """That get an image: the first ones."""
    class_starts: int
    """From how many starts it is looked for."""

    def notices(self) -> list[str]:
        """What is left out, in sentences; none where nothing is."""
        layers: list[str] = []
        short: list[str] = []
        if len(self.layers) < self.of_layers:
            words = f"{len(self.layers)} of {self.of_layers} convolutional layers are shown, evenly spread."
            (short if len(self.layers) < _MOST_LAYERS else layers).append(words)
        some = {name: shown for name, shown in self.layers.items() if len(shown) < self.of_filters[name]}
        if some:
            counts = ", ".join(f"{len(shown)} of {self.of_filters[name]:,} in {name}" for name, shown in some.items())
            short.append(f"Not every filter is shown, but every second, third and so on: {counts}.")
        if len(self.images) < self.of_images:
            short.append(f"They were shown {len(self.images):,} of the {self.of_images:,} test images, evenly spread.")
        if self.class_starts < CLASS_STARTS:
            starts = "1 start" if self.class_starts == 1 else f"{self.class_starts} starts"
            short.append(f"Class images are found from {starts} instead of {CLASS_STARTS}.")
        if short:
            short.append("More would take longer than insight.budget allows.")
        return [*layers, *short]

    def as_json(self) -> dict[str, Any]:
        return {
            "images": len(self.images),
            "of_images": self.of_images,
            "layers": {
                name: {"filters": len(shown), "of_filters": self.of_filters[name]}
                for name, shown in self.layers.items()
            },
            "of_layers": self.of_layers,
            "class_starts": self.class_starts,
        }


def plan(evaluated: EvaluatedModel, seconds: float) -> FilterPlan:
    """What can be analysed in that time at the speed of two cores, from the model's size alone.

    By counting and not with a clock, so that equal runs get equal pictures, however busy the machine is. A quarter of
    the time is for the images that excite the filters, a quarter for those of the classes, and half for the patches,
    where the layers that cost little leave what they don't need to the deeper ones.
    """
    quarter = seconds * SPEED / 4
    forward = work(evaluated.logits)
    count = len(evaluated.images)
    images = min(count, max(_FEWEST_IMAGES, int(quarter / forward)))
    classes = min(evaluated.probabilities.shape[1], MOST_CLASSES)
    starts = min(CLASS_STARTS, max(1, int(quarter / (classes * STEPS * BACKWARD * forward))))
    layers = convolutions(evaluated.logits)
    return FilterPlan(
        evenly(count, images),
        _layers(evaluated.logits, layers, 2 * quarter),
        {layer.name: layer.filters for layer in layers},
        len(layers),
        count,
        classes,
        starts,
    )


def _layers(model: keras.Model, layers: list[keras.layers.Conv2D], total: float) -> dict[str, range]:
    """As many layers as get enough filters each, by name; `total` is the work that all of them may take."""
    costs = [_Cost.of(model, layer) for layer in layers]
    for most in range(min(len(layers), _MOST_LAYERS), 0, -1):
        chosen = np.unique(np.linspace(0, len(layers) - 1, most).round().astype(int)).tolist()
        counts = _counts([costs[place] for place in chosen], total)
        if all(
            count >= min(_FEWEST_FILTERS, costs[place].filters) for count, place in zip(counts, chosen, strict=True)
        ):
            break
    return {
        layers[place].name: range(0, costs[place].filters, -(-costs[place].filters // max(1, count)))
        for place, count in zip(chosen, counts, strict=True)
    }


class _Cost(NamedTuple):
    """Of the patches of a layer's filters."""

    filters: int
    once: float
    """Work before the first one."""
    each: float
    """Work of each one."""

    @classmethod
    def of(cls, model: keras.Model, layer: keras.layers.Conv2D) -> "_Cost":
        part = keras.Model(model.inputs[0], before_activation(model, layer))
        return cls(layer.filters, _TRACING * len(part.operations), STARTS * STEPS * BACKWARD * work(part))


def _counts(costs: list[_Cost], total: float) -> list[int]:
    """Of how many filters of each layer patches can be looked for: equal shares of the work, and what a cheap layer
    leaves goes to the others."""
    total -= sum(cost.once for cost in costs)
    counts = [0] * len(costs)
    by_cost = sorted(range(len(costs)), key=lambda place: costs[place].filters * costs[place].each)
    for done, place in enumerate(by_cost):
        cost = costs[place]
        counts[place] = min(cost.filters, max(0, int(total / (len(costs) - done) / cost.each)))
        total -= counts[place] * cost.each
    return counts
