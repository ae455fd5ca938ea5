"""What the classes are called in pictures, where a name must fit its place."""

from collections.abc import Iterable, Sequence
from functools import cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from harness.data.classes import called

_BEYOND_THE_FONT = "\u0530"
"""Matplotlib's own font has Latin, Greek and Cyrillic letters, which all lie before."""
_POINTS_AN_INCH = 72


def class_label(label: int, names: Sequence[str], inches: float, points: float, bold: bool = False) -> str:
    """A class as it is drawn, as "3 cat" or, cut to fit, "3 Norwegian fo…"; its number alone where it has no name or
    the font lacks letters of it.

    Args:
        names: of all classes, by label, where they have names.
        inches: the room there is, which a number is always given.
        points: the size of the letters.
        bold: whether they may be bold, which takes more room.
    """
    words = _drawable(label, names)
    if _width(words, points, bold) <= inches:
        return words
    number, name = words.partition(" ")[::2]
    cut = (f"{number} {name[:end].rstrip()}…" for end in range(len(name) - 1, 0, -1))
    return next((shorter for shorter in cut if _width(shorter, points, bold) <= inches), number)


def widest(labels: Iterable[int], names: Sequence[str], points: float, bold: bool = False) -> float:
    """The inches that the longest of these classes takes where none is cut."""
    return max((_width(_drawable(label, names), points, bold) for label in set(labels)), default=0.0)


def _drawable(label: int, names: Sequence[str]) -> str:
    words = " ".join(called(label, names).split())
    return words if words.isprintable() and max(words) < _BEYOND_THE_FONT else str(label)


@cache
def _width(words: str, points: float, bold: bool) -> float:
    """Of a line of text in a picture, in inches."""
    letters = FontProperties(size=points, weight="bold" if bold else "normal")
    wide: float = text_to_path.get_text_width_height_descent(words, letters, ismath=False)[0]
    return wide / _POINTS_AN_INCH
