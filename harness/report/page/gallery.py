"""The gallery of explained images: what the template writes, and what the page's script draws, as JSON values."""

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from harness.data.classes import called
from harness.insight.saliency import METHODS
from harness.insight.trust import Curves
from harness.page.picture import SIGNED, UNSIGNED
from harness.page.table import Verdict
from harness.page.tiles import Outline, averaged, image_tile
from harness.page.wording import capitalized, percent
from harness.report.explanation import Explained

_MAP_SIDE = 64
"""Pixels of the longer side at most: larger ones are averaged, to keep the page small."""
_SHARED_QUANTILE = 0.99
_ZERO = 127
"""The byte of a signed map's zero."""


KINDS = {
    "own": ("your own image", "your own images"),
    "named": ("requested", "requested"),
    "correct": ("correct", "correct, drawn at random"),
    "mistakes": ("confident mistake", "most confident mistakes"),
    "unsure": ("uncertain", "least certain"),
}
"""Why an image is shown: said of one, and of all of them."""
SHORT = {"depends_on_weights": "weights", "faithful": "faithful", "stable": "stable", "class_specific": "class"}
"""The questions about a method, by their keys in insight.json, in a word each."""


@dataclass(frozen=True)
class MethodColumn:
    """A method: a column of the gallery."""

    name: str
    title: str
    note: str
    """What its maps show, a sentence without its full stop."""
    signed: bool
    answers: Sequence[tuple[str, Verdict]]
    """To the questions about the method, each in a word."""
    empty: str
    """How many of its maps are zero everywhere, in words; empty where none is."""


@dataclass(frozen=True)
class Target:
    """A class that is explained."""

    label: int
    called: str
    roles: str
    """Which of predicted, true and asked it is, with spaces between."""
    empty: Collection[str]
    """The methods whose map of it is zero everywhere, and says nothing."""


@dataclass(frozen=True)
class ExampleRow:
    """An image that is explained, and what the page says of it: a row of the gallery."""

    name: str
    classes: str
    """The true one, where it is known, and the predicted one."""
    probability: str
    """Of the predicted class."""
    group: str
    """Why it is shown, in words."""
    kind: str
    """The same, as a key of KINDS."""
    label: str
    """The true class's number; empty where it isn't known."""
    predicted: int
    predicted_called: str
    alt: str
    """What is in `png`, in words."""
    png: bytes
    outline: Outline
    targets: Sequence[Target]


@dataclass(frozen=True)
class Gallery:
    """All rows and columns, and what they can be filtered by."""

    methods: Sequence[MethodColumn]
    examples: Sequence[ExampleRow]
    labels: Mapping[int, str]
    """The true classes among them, and what they are called."""
    kinds: Mapping[str, str]
    asked: str | None
    """What the class is called that a user wants explained."""
    template: ClassVar[str] = "gallery.html.jinja"


def gallery(explained: Explained, answers: Mapping[str, Mapping[str, Verdict]], asked: int | None = None) -> Gallery:
    """The gallery's rows and columns.

    Args:
        explained: the images and their maps.
        answers: by method, then by question as in insight.json.
        asked: the class that a user wants explained, if any.
    """
    rows = [_row(explained, number, asked) for number in range(len(explained.examples))]
    labels = sorted({example.label for example in explained.examples if example.label is not None})
    return Gallery(
        methods=[_column(name, explained, answers[name]) for name in explained.maps],
        examples=rows,
        labels={label: called(label, explained.class_names) for label in labels},
        kinds={kind: words for kind, (_, words) in KINDS.items() if any(row.kind == kind for row in rows)},
        asked=None if asked is None else called(asked, explained.class_names),
    )


def script_data(explained: Explained, deletion: Mapping[str, Curves]) -> dict[str, Any]:
    """What the script draws, by the names that it knows.

    A map is bytes, its value v being limit · b / 255, or limit · (b - 127) / 127 where the method is signed: zero has a
    byte and a colour of its own. A method's `raw` limit is the largest |v| of all its maps; its `shared` one exceeds
    all but 1 % of their pixels.

    Args:
        explained: the images and their maps.
        deletion: by method, what deleting pixels did to the probability of the predicted class.
    """
    return {
        "colours": {"unsigned": _colours(UNSIGNED, 256), "signed": _colours(SIGNED, 2 * _ZERO + 1)},
        "methods": {name: _scales(name, explained) for name in explained.maps},
        "examples": [
            {
                "maps": {
                    name: {str(target): _encoded(values, METHODS[name].signed) for target, values in of[index].items()}
                    for name, of in explained.maps.items()
                },
                "deletion": {
                    name: {
                        "removed": _bytes(_nearest(curves.moved_at[index])),
                        "curve": [round(float(value), 4) for value in curves.values[index]],
                    }
                    for name, curves in deletion.items()
                },
            }
            for index, example in enumerate(explained.examples)
        ],
    }


def _column(name: str, explained: Explained, answers: Mapping[str, Verdict]) -> MethodColumn:
    method, blank = METHODS[name], explained.empty(name)
    return MethodColumn(
        name,
        method.title,
        capitalized(method.note),
        method.signed,
        [(SHORT[question], answer) for question, answer in answers.items()],
        f"{blank.empty} of {blank.maps} maps all zero" if blank.empty else "",
    )


def _row(explained: Explained, number: int, asked: int | None) -> ExampleRow:
    example = explained.examples[number]
    true = "" if example.label is None else f"true class {called(example.label, explained.class_names)}, "
    predicted = f"predicted {called(example.predicted, explained.class_names)}"
    roles = {"predicted": example.predicted, "true": example.label, "asked": asked}
    if example.label is None:
        roles["true"] = example.predicted
    return ExampleRow(
        name=example.name,
        classes=f"{true}{predicted}",
        probability=percent(float(example.probabilities[example.predicted])),
        group=KINDS[example.kind][0],
        kind=example.kind,
        label="" if example.label is None else str(example.label),
        predicted=example.predicted,
        predicted_called=called(example.predicted, explained.class_names),
        alt=f"{example.name}, {true}{predicted}",
        png=image_tile(example.image),
        outline=Outline.of(example.image),
        targets=[
            Target(
                label,
                called(label, explained.class_names),
                " ".join(role for role, of in roles.items() if of == label),
                [name for name, maps in explained.maps.items() if not maps[number][label].any()],
            )
            for label in example.targets
        ],
    )


def _scales(method: str, explained: Explained) -> dict[str, Any]:
    values = np.abs(np.stack([values for of in explained.maps[method] for values in of.values()]))
    return {
        "signed": METHODS[method].signed,
        "raw": _rounded(values.max()),
        "shared": _rounded(np.quantile(values, _SHARED_QUANTILE) or values.max()),
    }


def _encoded(values: NDArray[np.float32], signed: bool) -> dict[str, Any]:
    small = averaged(values, _MAP_SIDE)
    limit = float(np.abs(small).max())
    share = small / (limit or 1.0)
    levels = np.rint(_ZERO * (1 + share) if signed else 255 * share).astype(np.uint8)
    return {"shape": small.shape, "limit": _rounded(limit), "values": _bytes(levels)}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _nearest(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    step = -(-max(values.shape) // _MAP_SIDE)
    return values[::step, ::step]


def _colours(name: str, count: int) -> str:
    return _bytes(np.rint(255 * colormaps[name].resampled(count)(np.arange(count))[:, :3]).astype(np.uint8))


def _bytes(values: NDArray[np.uint8]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
