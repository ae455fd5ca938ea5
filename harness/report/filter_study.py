"""What is found about the filters: for the pictures, and as JSON."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
from harness.insight.layers import convolutions
from harness.report.evaluated_model import EvaluatedModel
from harness.report.filter_plan import FilterPlan


@dataclass(frozen=True)
class LayerStudy:
    """What is found about one layer's filters."""

    name: str
    shown: range
    """The numbers of the filters that have a patch: all, or every second, third and so on."""
    optimal: OptimalPatches
    """Of these."""
    strongest: Strongest
    """Of all the layer's filters, like the next two; by row of the test images."""
    classes: Sequence[dict[int, int]]
    """Filter by filter, how many of the strongest images are of each class, the most frequent first."""
    duplicates: Sequence[Duplicates]

    @property
    def dead(self) -> list[int]:
        """The numbers of the dead filters."""
        found: list[int] = np.flatnonzero(self.strongest.dead).tolist()
        return found

    @property
    def rare(self) -> dict[int, float]:
        """The rare filters, by number, and for which share of the images they fire."""
        return {number: float(self.strongest.fires[number]) for number in np.flatnonzero(self.strongest.rare).tolist()}

    def like(self, number: int) -> dict[int, float]:
        """The duplicates of a filter, and how alike they are."""
        return {
            pair.second if pair.first == number else pair.first: pair.similarity
            for pair in self.duplicates
            if number in (pair.first, pair.second)
        }


@dataclass(frozen=True)
class ClassExample:
    """The test image of a class with the highest logit of it."""

    row: int
    """Of the test images."""
    logit: float
    probability: float


@dataclass(frozen=True)
class ClassStudy:
    """What is found about the classes: an image made for each, and the best of the test images."""

    optimal: OptimalImages
    """Of the classes 0, 1, …"""
    examples: Sequence[ClassExample | None]
    """None for a class without images."""


@dataclass(frozen=True)
class FilterStudy:
    """What is found about a model's filters and classes."""

    first: str
    """The name of the first convolutional layer."""
    kernels: NDArray[np.float32]
    """Its kernels: (filters, height, width, channels)."""
    layers: Sequence[LayerStudy]
    classes: ClassStudy
    plan: FilterPlan
    out_of_time: Sequence[str] = ()
    """Layers of the plan that are left out."""

    def notices(self) -> list[str]:
        """What isn't shown, in sentences."""
        late = ", ".join(self.out_of_time)
        ended = [f"insight.budget ran out before these layers of the model: {late}."] if late else []
        return [*self.plan.notices(), *ended]

    def as_json(self) -> dict[str, Any]:
        """Layer's name -> a list of its filters that are shown, as JSON values."""
        return {
            layer.name: [_filter_json(layer, place, number) for place, number in enumerate(layer.shown)]
            for layer in self.layers
        }

    def overview_json(self) -> dict[str, Any]:
        """How much of the model was analysed, and which filters are of little use."""
        return {
            **self.plan.as_json(),
            "out_of_time": list(self.out_of_time),
            "dead": {layer.name: layer.dead for layer in self.layers},
            "rare": {
                layer.name: {str(number): _rounded(share) for number, share in layer.rare.items()}
                for layer in self.layers
            },
        }

    def classes_json(self) -> list[dict[str, Any]]:
        """Class by class the logit that was found, by start, and that of the best test image."""
        optimal = self.classes.optimal
        return [
            {
                "class": label,
                "logit": _rounded(optimal.logits[label]),
                "starts": _starts_json(optimal.of_starts[label]),
                "best_real": None if example is None else _rounded(example.logit),
                "image": None if example is None else example.row,
            }
            for label, example in enumerate(self.classes.examples)
        ]


def study(
    evaluated: EvaluatedModel,
    planned: FilterPlan,
    seed: int,
    seconds: float,
    progress: Callable[[str], None] = lambda what: None,
) -> FilterStudy:
    """Analyse the filters of a model with convolutions.

    The plan leaves time to spare on two cores. Where the machine is much slower than that, no layer but the first is
    begun once the time is over.

    Args:
        planned: how much is analysed.
        seed: of the ascents.
        seconds: the budget.
        progress: is given what is being looked for, as it begins, two times more than there are layers in the plan.
    """
    ends = time.monotonic() + seconds
    model = evaluated.logits
    progress("images that excite the filters")
    images, labels = evaluated.images[planned.images], evaluated.labels[planned.images]
    examples = strongest(model, images, layers=planned.layers)
    alike = duplicates(model, images, planned.layers)
    progress("images that raise the classes' logits")
    classes = _classes(evaluated, planned, seed)
    layers: list[LayerStudy] = []
    for name, shown in planned.layers.items():
        if layers and time.monotonic() > ends:
            break
        progress(f"patches that excite {name}")
        optimal = activation_maximization(model, name, filters=shown, seed=seed)
        of = examples[name]
        of_all = replace(of, rows=planned.images[of.rows])
        layers.append(LayerStudy(name, shown, optimal, of_all, of.classes(labels), alike[name]))
    late = [name for name in planned.layers if name not in {layer.name for layer in layers}]
    return FilterStudy(convolutions(model)[0].name, first_kernels(model), layers, classes, planned, late)


def _classes(evaluated: EvaluatedModel, planned: FilterPlan, seed: int) -> ClassStudy:
    examples: list[ClassExample | None] = []
    for label in range(planned.classes):
        of_class = np.flatnonzero(evaluated.labels == label)
        if len(of_class):
            row = int(of_class[evaluated.outputs[of_class, label].argmax()])
            examples.append(
                ClassExample(row, float(evaluated.outputs[row, label]), float(evaluated.probabilities[row, label]))
            )
        else:
            examples.append(None)
    found = class_optimal_images(evaluated.logits, np.arange(planned.classes), seeds=planned.class_starts, seed=seed)
    return ClassStudy(found, examples)


def _filter_json(layer: LayerStudy, place: int, number: int) -> dict[str, Any]:
    return {
        "filter": number,
        "score": _rounded(layer.optimal.scores[place]),
        "starts": _starts_json(layer.optimal.of_starts[place]),
        "best_real": _rounded(layer.strongest.activations[number, 0]),
        "images": layer.strongest.rows[number].tolist(),
        "activations": [_rounded(value) for value in layer.strongest.activations[number]],
        "fields": layer.strongest.fields[number].tolist(),
        "classes": {str(label): count for label, count in layer.classes[number].items()},
        "fires": _rounded(layer.strongest.fires[number]),
        "dead": number in layer.dead,
        "rare": number in layer.rare,
        "duplicates": {str(other): round(similarity, 4) for other, similarity in layer.like(number).items()},
    }


def starts_in_words(scores: NDArray[np.float32]) -> str:
    """What the starts of an ascent came to: the lowest, the median and the best."""
    return ", ".join(f"{score:.4g}" for score in np.quantile(scores, [0, 0.5, 1]))


def _starts_json(scores: NDArray[np.float32]) -> dict[str, float]:
    quantiles = np.quantile(scores, [0, 0.5, 1])
    return {name: _rounded(score) for name, score in zip(("lowest", "median", "best"), quantiles, strict=True)}


def _rounded(value: Any) -> float:
    return float(f"{value:.5g}")
