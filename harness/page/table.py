"""A table of the page: numbers in words, and verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """A judgement in words; the page puts a shape beside them."""

    words: str
    good: bool | None
    """None if it can't be told."""


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    cells: Sequence[str | Verdict]
    """The first one heads the row."""
    control: bool = False
    """Whether it is there only to compare with."""


@dataclass(frozen=True)
class Table:
    """Rows under headings, a heading a column, with a title and notes."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    """How to read it, a paragraph each."""
