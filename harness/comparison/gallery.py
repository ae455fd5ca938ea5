"""The same images with what both say of them and where both look."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.comparison.contender import Contender
from harness.comparison.examples import GROUPS, Group, all_rows
from harness.comparison.maps import MapPair
from harness.comparison.page import Card, CardGroup, Duo, Gallery, Tile
from harness.comparison.tiles import image_tile, map_tile
from harness.insight.saliency import METHODS
from harness.insight.saliency.methods import Method
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
        "Both maps of a pair explain the logit of the true class, A's on the left. Each is scaled to its own largest "
        "value, so brightness compares the pixels of one map, not two maps; maps with signs are red for the class and "
        "blue against it. The number is Spearman's rank correlation of the two maps' pixels, 1 for the same order and "
        f"0 for none in common; where both leave the image's border dark, that raises it. {notes}."
    )
    return Gallery(intro, groups, _likeness_table(shown))


def images_json(shown: Shown) -> list[dict[str, Any]]:
    """The images, what both say of them, and how alike their maps are, as JSON values."""
    found: list[dict[str, Any]] = []
    for kind, group in shown.groups.items():
        for row in group.rows.tolist():
            says = {side: _says(of, row) for side, of in (("a", shown.a), ("b", shown.b))}
            likeness = {name: round(float(pair.likeness[len(found)]), 4) for name, pair in shown.pairs.items()}
            found.append(
                {
                    "row": row,
                    "group": kind,
                    "true": int(shown.a.subject.labels[row]),
                    **{
                        side: {"predicted": label, "probability": round(probability, 6)}
                        for side, (label, probability) in says.items()
                    },
                    "likeness": likeness,
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
    title = f"{name}, true {label}"
    says = []
    for side, of in (("A", shown.a), ("B", shown.b)):
        guess, probability = _says(of, row)
        right = guess == label
        says.append((f"{side} says {guess}, {percent(probability)}", Verdict("right" if right else "wrong", right)))
    duos = [_duo(METHODS[method], pair, index, title) for method, pair in shown.pairs.items()]
    return Card(name, label, Tile("", title, image_tile(subject.images[row])), says, duos)


def _duo(method: Method, pair: MapPair, index: int, title: str) -> Duo:
    a, b = (
        Tile(side, f"{method.title} of {side}: {title}", map_tile(maps[index], method.signed))
        for side, maps in (("A", pair.a), ("B", pair.b))
    )
    return Duo(method.title, f"{pair.likeness[index]:.2f}", a, b)


def _counted(group: Group) -> str:
    shown = len(group.rows)
    return f"{shown} of {group.of:,} shown" if shown < group.of else f"{shown}"


def _likeness_table(shown: Shown) -> Table:
    """The mean over each group's images, by method."""
    rows, start = [], 0
    for kind, group in shown.groups.items():
        these = slice(start, start + len(group.rows))
        start += len(group.rows)
        means = [f"{pair.likeness[these].mean():.2f}" for pair in shown.pairs.values()]
        rows.append(Row([GROUPS[kind], str(len(group.rows)), *means]))
    headings = ["rank correlation, mean", "images", *(METHODS[name].title for name in shown.pairs)]
    return Table("How alike the maps are", headings, rows)
