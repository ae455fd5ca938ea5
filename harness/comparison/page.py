"""The comparison's page: one self-contained HTML file."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.report.page.gallery import Outline
from harness.report.page.templates import page_template
from harness.report.picture import Picture
from harness.report.table import Table, Verdict


@dataclass(frozen=True)
class Tile:
    """A small picture."""

    side: str
    alt: str
    png: bytes


@dataclass(frozen=True)
class Duo:
    """The maps of both by one method."""

    method: str
    signed: bool
    likeness: str
    a: Tile
    b: Tile


@dataclass(frozen=True)
class Card:
    """An image, what both say of it, and where both look."""

    name: str
    row: int
    """Of the test images."""
    label: int
    image: Tile
    outline: Outline
    says: Sequence[tuple[str, Verdict]]
    """What each says, and whether that is right."""
    duos: Sequence[Duo]


@dataclass(frozen=True)
class CardGroup:
    title: str
    shown: str
    """How many of how many."""
    cards: Sequence[Card]


@dataclass(frozen=True)
class Gallery:
    intro: str
    groups: Sequence[CardGroup]
    likeness: Table


@dataclass(frozen=True)
class Section:
    title: str
    paragraphs: Sequence[str]
    tables: Sequence[Table] = ()
    picture: Picture | None = None
    gallery: Gallery | None = None

    @property
    def anchor(self) -> str:
        return self.title.lower().replace(" ", "-")


@dataclass(frozen=True)
class Page:
    title: str
    sides: Sequence[tuple[str, str]]
    """A and B, and what each is."""
    sentence: str
    headlines: Sequence[tuple[str, str]]
    sections: Sequence[Section]


def render(page: Page) -> str:
    """The page's HTML; equal pages give the same text."""
    return page_template("harness.comparison", "harness.report.page").render(page=page)
