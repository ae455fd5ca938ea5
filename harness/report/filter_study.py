"""What is found out about the filters before it is drawn, and as JSON."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.insight.filters import (
    Duplicates,
    OptimalImages,
    OptimalPatches,
    Strongest,
    activation_maximization,
    class_optimal_images,
    duplicates,
    first_kernels,
    strongest,
)
from harness.report.subject import Subject

MOST_CLASSES = 20
"""At most so many classes get their image and their feature maps: it takes seconds each where images are large, and
fills the page."""


@dataclass(frozen=True)
class LayerStudy:
    name: str
    optimal: OptimalPatches
    strongest: Strongest
    classes: Sequence[dict[int, int]]
    """Filter by filter, how many of the strongest images are of each class, the most frequent first."""
    duplicates: Sequence[Duplicates]

    @property
    def dead(self) -> list[int]:
        """The numbers of the dead filters."""
        found: list[int] = np.flatnonzero(self.strongest.dead).tolist()
        return found

    def like(self, number: int) -> dict[int, float]:
        """The duplicates of a filter, and how alike they are."""
        return {
            pair.second if pair.first == number else pair.first: pair.likeness
            for pair in self.duplicates
            if number in (pair.first, pair.second)
        }


@dataclass(frozen=True)
class ClassExample:
    """The image of a class for which the model says it loudest."""

    row: int
    logit: float
    probability: float


@dataclass(frozen=True)
class ClassStudy:
    optimal: OptimalImages
    """Of the classes 0, 1, …"""
    examples: Sequence[ClassExample | None]
    """None for a class without images."""


@dataclass(frozen=True)
class FilterStudy:
    kernels: NDArray[np.float32]
    """Of the first layer: (filters, height, width, channels)."""
    layers: Sequence[LayerStudy]
    classes: ClassStudy

    def as_json(self) -> dict[str, Any]:
        """Layer's name -> a list of its filters, as JSON values."""
        return {
            layer.name: [_filter_json(layer, number) for number in range(len(layer.classes))] for layer in self.layers
        }


def study(subject: Subject, seed: int, progress: Callable[[str], None] = lambda what: None) -> FilterStudy:
    """Look into the filters of a model that has some.

    Args:
        seed: of the ascents.
        progress: is given what is being looked for, as it begins, one time more than there are layers.
    """
    model = subject.logits
    progress("images that excite the filters")
    examples, alike = strongest(model, subject.images), duplicates(model, subject.images)
    layers = []
    for name, of in examples.items():
        progress(f"patches that excite {name}")
        optimal = activation_maximization(model, name, seed=seed)
        layers.append(LayerStudy(name, optimal, of, of.classes(subject.labels), alike[name]))
    return FilterStudy(first_kernels(model), layers, _classes(subject, seed))


def _classes(subject: Subject, seed: int) -> ClassStudy:
    shown = np.arange(min(subject.probabilities.shape[1], MOST_CLASSES))
    examples: list[ClassExample | None] = []
    for label in shown.tolist():
        of_class = np.flatnonzero(subject.labels == label)
        if len(of_class):
            row = int(of_class[subject.outputs[of_class, label].argmax()])
            examples.append(
                ClassExample(row, float(subject.outputs[row, label]), float(subject.probabilities[row, label]))
            )
        else:
            examples.append(None)
    return ClassStudy(class_optimal_images(subject.logits, shown, seed=seed), examples)


def _filter_json(layer: LayerStudy, number: int) -> dict[str, Any]:
    return {
        "filter": number,
        "score": _rounded(layer.optimal.scores[number]),
        "best_real": _rounded(layer.strongest.activations[number, 0]),
        "images": layer.strongest.rows[number].tolist(),
        "activations": [_rounded(value) for value in layer.strongest.activations[number]],
        "fields": layer.strongest.fields[number].tolist(),
        "classes": {str(label): count for label, count in layer.classes[number].items()},
        "dead": number in layer.dead,
        "duplicates": {str(other): round(likeness, 4) for other, likeness in layer.like(number).items()},
    }


def _rounded(value: Any) -> float:
    return float(f"{value:.5g}")
