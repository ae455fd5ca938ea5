import numpy as np
import pytest

from harness.page.picture import blank
from harness.report.class_labels import class_label, widest

NAMES = ["cat", "Norwegian forest cat", "WWWWWWWWWWWWWWWW", "$x$ and $y$", "猫", "two\nlines", "bell\a", ""]


def drawn_width(words: str, points: float, weight: str) -> float:
    """In inches, by Matplotlib's own renderer."""
    figure, axes = blank(4, 1)
    text = axes.text(0, 0.5, words, fontsize=points, fontweight=weight, parse_math=False)
    return float(text.get_window_extent().width) / figure.dpi


@pytest.mark.parametrize(
    ("label", "expected"),
    [(0, "0 cat"), (3, "3 $x$ and $y$"), (4, "4"), (5, "5 two lines"), (6, "6"), (7, "7"), (12, "12")],
)
def test_a_class_has_its_number_and_its_name_where_the_font_can_draw_it(label: int, expected: str) -> None:
    assert class_label(label, NAMES, 1.0, 8) == expected


@pytest.mark.parametrize("bold", [False, True])
@pytest.mark.parametrize("inches", [0.45, 0.6, 1.0])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_a_name_is_cut_to_what_fits(label: int, inches: float, bold: bool) -> None:
    words = class_label(label, NAMES, inches, 8, bold)
    weight = "bold" if bold else "normal"
    assert drawn_width(words, 8, weight) <= inches + 0.04
    whole = f"{label} {NAMES[label]}"
    assert words == whole or (words.endswith("…") and whole.startswith(words[:-1]))
    if words != whole:
        assert drawn_width(whole, 8, weight) > inches - 0.04


def test_a_number_is_shown_where_there_is_room_for_nothing() -> None:
    assert class_label(1, NAMES, 0.01, 8) == "1"
    assert class_label(123, [], 0.01, 8) == "123"


def test_the_widest_class_needs_no_cut() -> None:
    room = widest([0, 1, 4], NAMES, 9.5)
    np.testing.assert_allclose(room, drawn_width("1 Norwegian forest cat", 9.5, "normal"), atol=0.05)
    assert class_label(1, NAMES, room, 9.5) == "1 Norwegian forest cat"
