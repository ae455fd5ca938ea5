"""The images that are explained, and their maps by every method."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from harness.config.data import Resize
from harness.config.insight import InsightSection
from harness.data import own_images
from harness.data.own_files import readable
from harness.errors import DataError, UserError
from harness.insight.layers import cam_layer, feature_layers
from harness.insight.saliency import METHODS, Explain, Maps, bound, in_parts
from harness.insight.trust import MOST_EXPLAINED_AGAIN
from harness.models.logits import probabilities
from harness.report import examples
from harness.report.evaluated_model import EvaluatedModel, outputs_of


@dataclass(frozen=True)
class Request:
    """What a user wants to see beside the images that are chosen anyway."""

    rows: tuple[int, ...] = ()
    """Of the test images."""
    label: int | None = None
    """A class to explain too, for these images and files."""
    files: tuple[Path, ...] = ()
    """Pictures of the user's own."""
    invert: bool = False
    resize: Resize = "crop"
    """How pictures of other sides than the model's images are brought to these."""
    scale: tuple[float, float] | None = None
    """The values of 16 bits that become 0 and 255 in pictures; None where such pictures are refused."""

    def pictures(self, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
        """The files as images of that shape. Raises DataError where one is no picture."""
        return own_images.read(self.files, shape, self.invert, self.resize, self.scale)


@dataclass(frozen=True)
class Example:
    """An image that is explained."""

    name: str
    kind: str
    """named, correct, mistakes, unsure, or own."""
    row: int | None
    """Among the test images; None for a picture of the user's own."""
    image: NDArray[Any]
    """(height, width, channels), pixels."""
    label: int | None
    """The true class; None where it isn't known."""
    probabilities: NDArray[np.float32]
    """(classes,)"""
    targets: tuple[int, ...]
    """The classes explained: the predicted one first."""

    @property
    def predicted(self) -> int:
        return self.targets[0]


class Empty(NamedTuple):
    """Of a method's maps, how many are zero everywhere: these say nothing, whatever is drawn of them."""

    empty: int
    maps: int


@dataclass(frozen=True)
class Explained:
    """The images that are explained, and their maps by each method."""

    examples: tuple[Example, ...]
    maps: Mapping[str, tuple[Mapping[int, NDArray[np.float32]], ...]]
    """By method, then example, then class: (height, width)."""
    left_out: Mapping[str, str]
    """Why methods that are asked for can't explain the model, by name."""
    class_names: tuple[str, ...] = ()
    """By label; empty where classes are mere numbers."""

    def images(self) -> NDArray[Any]:
        return np.stack([example.image for example in self.examples])

    def predicted(self) -> NDArray[np.intp]:
        return np.array([example.predicted for example in self.examples], np.intp)

    def predicted_maps(self, method: str) -> Maps:
        """The maps of the predicted classes, (examples, height, width)."""
        return np.stack(
            [maps[example.predicted] for example, maps in zip(self.examples, self.maps[method], strict=True)]
        )

    def empty(self, method: str) -> Empty:
        """Counted over all classes that are explained."""
        maps = [values for of in self.maps[method] for values in of.values()]
        return Empty(sum(not values.any() for values in maps), len(maps))


def methods_for(evaluated: EvaluatedModel, insight: InsightSection) -> dict[str, Explain]:
    """The methods that can explain the model, by name. Raises UserError where there is none, or no `insight.layer`."""
    without = left_out(evaluated.logits, insight, evaluated.name)
    usable = [name for name in insight.methods if name not in without]
    if not usable:
        raise UserError(f"insight.methods: {'; '.join(f'{name}: {reason}' for name, reason in without.items())}")
    return {name: bound(name, insight.layer) for name in dict.fromkeys(usable)}


def left_out(logits: keras.Model, insight: InsightSection, model: str) -> dict[str, str]:
    """The methods that can't explain the model of that name, by name, and why. Raises UserError where it has feature
    maps, and no `insight.layer`."""
    no_layer = None
    try:
        cam_layer(logits, insight.layer)
    except UserError as error:
        if insight.layer is not None and feature_layers(logits):
            raise UserError(f"insight.layer: {model}: {error}") from None
        no_layer = str(error)
    reasons = {
        name: METHODS[name].lacks(logits) or (no_layer if METHODS[name].of_a_layer else None)
        for name in insight.methods
    }
    return {name: reason for name, reason in reasons.items() if reason is not None}


def explain(
    evaluated: EvaluatedModel,
    insight: InsightSection,
    seed: int,
    request: Request,
    progress: Callable[[str], None] = lambda method: None,
) -> Explained:
    """Choose the images and make the maps of their predicted class, of the true one where that is another, and of the
    class that is asked for.

    Raises:
        DataError: the request names a class that isn't there, or a file that is not a picture.
    """
    shown = _examples(evaluated, insight, seed, request)
    methods = methods_for(evaluated, insight)
    images = np.stack([example.image for example in shown])
    pairs = [(index, target) for index, example in enumerate(shown) for target in example.targets]
    owners, targets = (np.array(column) for column in zip(*pairs, strict=True))
    at_a_time = min(len(shown), MOST_EXPLAINED_AGAIN)
    by_method = {}
    for name, method in methods.items():
        progress(name)
        of_example: list[dict[int, NDArray[np.float32]]] = [{} for _ in shown]
        maps = in_parts(method, at_a_time, evaluated.logits, images[owners], targets)
        for owner, target, of in zip(owners.tolist(), targets.tolist(), maps, strict=True):
            of_example[owner][target] = of
        by_method[name] = tuple(of_example)
    return Explained(
        tuple(shown), by_method, left_out(evaluated.logits, insight, evaluated.name), evaluated.class_names
    )


def _examples(evaluated: EvaluatedModel, insight: InsightSection, seed: int, request: Request) -> list[Example]:
    classes = evaluated.probabilities.shape[1]
    if request.label is not None and not 0 <= request.label < classes:
        raise DataError(f"--class {request.label}: the model has {classes} classes, 0 to {classes - 1}")
    asked = [] if request.label is None else [request.label]
    own = request.pictures(evaluated.images.shape[1:])
    shown = [
        Example(readable(path.name), "own", None, image, None, says, _targets([int(says.argmax()), *asked]))
        for path, image, says in zip(request.files, own, _says(evaluated, own), strict=True)
    ]
    chosen = examples.choose(evaluated.labels, evaluated.probabilities, insight.images, seed, request.rows)
    for kind, rows in chosen.items():
        for row in rows.tolist():
            says, label = evaluated.probabilities[row], int(evaluated.labels[row])
            targets = [int(says.argmax()), label, *(asked if kind == "named" else [])]
            shown.append(Example(f"test image {row}", kind, row, evaluated.images[row], label, says, _targets(targets)))
    return shown


def _says(evaluated: EvaluatedModel, images: NDArray[Any]) -> NDArray[np.float32]:
    if not len(images):
        return evaluated.probabilities[:0]
    return probabilities(evaluated.logits, outputs_of(evaluated.logits, images))


def _targets(classes: Sequence[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(classes))
