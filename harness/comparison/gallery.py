"""The same images with what both say of them and where both look."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.comparison.contender import Contender
from harness.comparison.examples import GROUPS, Group, all_rows
from harness.comparison.maps import MapPair
from harness.comparison.page import Card, CardGroup, Duo, Gallery, Tile
from harness.comparison.tiles import image_tile, map_tile
from harness.insight.saliency import METHODS
from harness.insight.saliency.methods import Method
from harness.insight.trust.interval import CORRELATION, mean_over_images
from harness.report.page.gallery import Outline
from harness.report.table import Row, Table, Verdict
from harness.report.wording import percent


@dataclass(frozen=True)
class Shown:
    """What is shown: the images by group, and their maps in that order."""

    a: Contender
    b: Contender
    groups: Mapping[str, Group]
    pairs: Mapping[str, MapPair]


def gallery(shown: Shown) -> Gallery:
    """The cards by group, and how alike the maps are."""
    place = {row: index for index, row in enumerate(all_rows(shown.groups).tolist())}
    groups = [
        CardGroup(GROUPS[kind], _counted(group), [_card(shown, row, place[row]) for row in group.rows.tolist()])
        for kind, group in shown.groups.items()
    ]
    notes = ". ".join(METHODS[name].note[0].upper() + METHODS[name].note[1:] for name in shown.pairs)
    intro = (
        "Both maps of a pair explain the logit of the true class; A's is on the left. Each is scaled to its own "
        "maximum, so colours compare pixels within a map, not between maps. The thin line is the outline of the image. "
        "In signed maps, red is for the class and "
        "blue against it. The number below is Spearman's rank correlation between the two maps. Even maps of different "
        "images resemble each other, so the table gives their correlation for reference. It also gives the similarity "
        "of what is specific to each image, after subtracting the mean map of A and of B: from 1 (identical) to 0 "
        f"(nothing in common). {notes}."
    )
    return Gallery(intro, groups, _likeness_table(shown))


def images_json(shown: Shown) -> list[dict[str, Any]]:
    """The images, what both say of them, and how alike their maps are, as JSON values."""
    found: list[dict[str, Any]] = []
    for kind, group in shown.groups.items():
        for row in group.rows.tolist():
            says = {side: _says(of, row) for side, of in (("a", shown.a), ("b", shown.b))}
            alike = {
                key: {name: _rounded(getattr(pair, kind)[len(found)]) for name, pair in shown.pairs.items()}
                for key, kind in (("likeness", "likeness"), ("likeness_across", "across"), ("likeness_own", "own"))
            }
            found.append(
                {
                    "row": row,
                    "group": kind,
                    "true": int(shown.a.subject.labels[row]),
                    **{
                        side: {"predicted": label, "probability": round(probability, 6)}
                        for side, (label, probability) in says.items()
                    },
                    **alike,
                }
            )
    return found


def _says(of: Contender, row: int) -> tuple[int, float]:
    probabilities = of.subject.probabilities[row]
    label = int(probabilities.argmax())
    return label, float(probabilities[label])


def _card(shown: Shown, row: int, index: int) -> Card:
    subject = shown.a.subject
    label = int(subject.labels[row])
    name = f"test image {row}"
    title = f"{name}, true class {label}"
    says = []
    for side, of in (("A", shown.a), ("B", shown.b)):
        guess, probability = _says(of, row)
        right = guess == label
        says.append(
            (f"{side} predicts {guess} ({percent(probability)})", Verdict("correct" if right else "wrong", right))
        )
    duos = [_duo(METHODS[method], pair, index, title) for method, pair in shown.pairs.items()]
    image = subject.images[row]
    return Card(name, row, label, Tile("", title, image_tile(image)), Outline.of(image), says, duos)


def _duo(method: Method, pair: MapPair, index: int, title: str) -> Duo:
    a, b = (
        Tile(side, f"{method.title} map of {side}: {title}", map_tile(maps[index], method.signed))
        for side, maps in (("A", pair.a), ("B", pair.b))
    )
    return Duo(
        method.title,
        method.signed,
        f"{_told(pair.likeness[index])}; image-specific part {_told(pair.own[index])}",
        a,
        b,
    )


def _counted(group: Group) -> str:
    shown = len(group.rows)
    return f"{shown} of {group.of:,} shown" if shown < group.of else f"{shown}"


def _likeness_table(shown: Shown) -> Table:
    """Means over each group's images, by method."""
    rows, start = [], 0
    for kind, group in shown.groups.items():
        these = slice(start, start + len(group.rows))
        start += len(group.rows)
        for name, pair in shown.pairs.items():
            own = mean_over_images(pair.own[these], CORRELATION, together=len(shown.pairs))
            interval = f" ({own.low:.2f} to {own.high:.2f})" if np.isfinite(own.low) else ""
            means = [_told(values[these].mean()) for values in (pair.likeness, pair.across)]
            cells = [GROUPS[kind], str(len(group.rows)), METHODS[name].title, *means, f"{_told(own.mean)}{interval}"]
            rows.append(Row(cells))
    headings = [
        "means over the images",
        "images",
        "method",
        "rank correlation",
        "rank correlation, different images",
        "image-specific part, with a 95% interval for all methods together",
    ]
    return Table("How similar the maps are", headings, rows)


def _told(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "not known"


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
