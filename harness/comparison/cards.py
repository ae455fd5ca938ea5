"""The same images with what both models say of them and where both look: a card an image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from harness.comparison.evaluation import EvaluatedSide
from harness.comparison.image_groups import GROUPS, Group, all_rows
from harness.comparison.maps import MapPair
from harness.data.classes import called
from harness.insight.saliency import METHODS
from harness.insight.saliency.methods import Method
from harness.insight.trust.interval import CORRELATION, mean_over_images
from harness.page import Row, Section, Table, Verdict
from harness.page.tiles import Outline, image_tile, map_tile
from harness.page.wording import capitalized, percent


@dataclass(frozen=True)
class ExplainedImages:
    """The images by group, and the maps of both models in that order."""

    a: EvaluatedSide
    b: EvaluatedSide
    groups: Mapping[str, Group]
    pairs: Mapping[str, MapPair]
    """By method."""


@dataclass(frozen=True)
class Tile:
    """A small picture."""

    side: str
    """"A" or "B"; empty for the image itself."""
    alt: str
    """What is in it, in words."""
    png: bytes


@dataclass(frozen=True)
class MapTiles:
    """The maps of both models by one method."""

    method: str
    signed: bool
    likeness: str
    """In words, for under the maps."""
    a: Tile
    b: Tile


@dataclass(frozen=True)
class Card:
    """An image, what both say of it, and where both look."""

    name: str
    row: int
    """Of the test images."""
    label: str
    """The true class."""
    image: Tile
    outline: Outline
    says: Sequence[tuple[str, Verdict]]
    """What each says, and whether that is right."""
    maps: Sequence[MapTiles]


@dataclass(frozen=True)
class CardGroup:
    """The cards of one group of images, under its title."""

    title: str
    shown: str
    """How many of how many."""
    cards: Sequence[Card]


@dataclass(frozen=True)
class Cards:
    """All cards by group, and the table of how alike the maps are."""

    groups: Sequence[CardGroup]
    likeness: Table
    template: ClassVar[str] = "cards.html.jinja"


def images_section(explained: ExplainedImages) -> Section:
    """The cards by group, and how alike the maps are."""
    place = {row: index for index, row in enumerate(all_rows(explained.groups).tolist())}
    groups = [
        CardGroup(GROUPS[kind], _counted(group), [_card(explained, row, place[row]) for row in group.rows.tolist()])
        for kind, group in explained.groups.items()
    ]
    notes = ". ".join(capitalized(METHODS[name].note) for name in explained.pairs)
    intro = (
        "Both maps of a pair explain the logit of the true class; A's is on the left. Each is scaled to its own "
        "maximum, so colours compare pixels within a map, not between maps. The thin line is the outline of the image. "
        "In signed maps, red is for the class and "
        "blue against it. The number below is Spearman's rank correlation between the two maps. Even maps of different "
        "images resemble each other, so the table gives their correlation for reference. It also gives the similarity "
        "of what is specific to each image, after subtracting the mean map of A and of B: from 1 (identical) to 0 "
        f"(nothing in common). {notes}."
    )
    return Section("The same images", [intro], parts=[Cards(groups, _likeness_table(explained))])


def images_json(explained: ExplainedImages) -> list[dict[str, Any]]:
    """The images, what both say of them, and how alike their maps are, as JSON values."""
    found: list[dict[str, Any]] = []
    for kind, group in explained.groups.items():
        for row in group.rows.tolist():
            says = {side: _says(of, row) for side, of in (("a", explained.a), ("b", explained.b))}
            alike = {
                key: {name: _rounded(getattr(pair, kind)[len(found)]) for name, pair in explained.pairs.items()}
                for key, kind in (("likeness", "likeness"), ("likeness_across", "across"), ("likeness_own", "own"))
            }
            found.append(
                {
                    "row": row,
                    "group": kind,
                    "true": int(explained.a.model.labels[row]),
                    **{
                        side: {"predicted": label, "probability": round(probability, 6)}
                        for side, (label, probability) in says.items()
                    },
                    **alike,
                }
            )
    return found


def _says(of: EvaluatedSide, row: int) -> tuple[int, float]:
    probabilities = of.model.probabilities[row]
    label = int(probabilities.argmax())
    return label, float(probabilities[label])


def _card(explained: ExplainedImages, row: int, index: int) -> Card:
    model = explained.a.model
    label, names = int(model.labels[row]), model.class_names
    name, true = f"test image {row}", called(label, names)
    title = f"{name}, true class {true}"
    says = []
    for side, of in (("A", explained.a), ("B", explained.b)):
        guess, probability = _says(of, row)
        right = guess == label
        says.append(
            (
                f"{side} predicts {called(guess, names)} ({percent(probability)})",
                Verdict("correct" if right else "wrong", right),
            )
        )
    maps = [_map_tiles(METHODS[method], pair, index, title) for method, pair in explained.pairs.items()]
    image = model.images[row]
    return Card(name, row, true, Tile("", title, image_tile(image)), Outline.of(image), says, maps)


def _map_tiles(method: Method, pair: MapPair, index: int, title: str) -> MapTiles:
    a, b = (
        Tile(side, f"{method.title} map of {side}: {title}", map_tile(maps[index], method.signed))
        for side, maps in (("A", pair.a), ("B", pair.b))
    )
    return MapTiles(
        method.title,
        method.signed,
        f"{_two_digits(pair.likeness[index])}; image-specific part {_two_digits(pair.own[index])}",
        a,
        b,
    )


def _counted(group: Group) -> str:
    shown = len(group.rows)
    return f"{shown} of {group.of:,} shown" if shown < group.of else f"{shown}"


def _likeness_table(explained: ExplainedImages) -> Table:
    """Means over each group's images, by method."""
    rows, start = [], 0
    for kind, group in explained.groups.items():
        these = slice(start, start + len(group.rows))
        start += len(group.rows)
        for name, pair in explained.pairs.items():
            own = mean_over_images(pair.own[these], CORRELATION, together=len(explained.pairs))
            interval = f" ({own.low:z.2f} to {own.high:z.2f})" if np.isfinite(own.low) else ""
            means = [_two_digits(values[these].mean()) for values in (pair.likeness, pair.across)]
            own_mean = f"{_two_digits(own.mean)}{interval}"
            rows.append(Row([GROUPS[kind], str(len(group.rows)), METHODS[name].title, *means, own_mean]))
    headings = [
        "means over the images",
        "images",
        "method",
        "rank correlation",
        "rank correlation, different images",
        "image-specific part, with a 95% interval for all methods together",
    ]
    return Table("How similar the maps are", headings, rows)


def _two_digits(value: float) -> str:
    return f"{value:z.2f}" if np.isfinite(value) else "not known"


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
