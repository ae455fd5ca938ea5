from typing import Any

import pytest

from harness.comparison.curves import curves_picture


def rows(count: int, shift: float) -> list[dict[str, Any]]:
    train = [
        {"step": 10 * n, "split": "train", "loss": 2 / n + shift, "accuracy": 1 - 1 / (n + 1)}
        for n in range(1, count + 1)
    ]
    return [*train, {"step": 10 * count, "split": "validation", "loss": 0.5 + shift, "accuracy": 0.75}]


def test_the_numbers_are_behind_the_picture_every_evaluation_and_some_of_training() -> None:
    picture = curves_picture({"A": rows(100, 0.0), "B": rows(7, 0.25)})
    assert picture.table is not None
    cells = [tuple(row.cells) for row in picture.table.rows]
    assert cells[-2:] == [
        ("1,000", "validation", "A", "0.5000", "0.7500"),
        ("70", "validation", "B", "0.7500", "0.7500"),
    ]
    of_a = [row for row in cells if row[1:3] == ("train", "A")]
    assert len(of_a) == 20
    assert of_a[-1][0] == "1,000", "the last is always among them"
    assert len([row for row in cells if row[1:3] == ("train", "B")]) == 7
    assert "Last validation of B: loss 0.7500, accuracy 0.7500." in picture.alt


@pytest.mark.slow
def test_the_picture_depends_on_its_rows_alone() -> None:
    drawn = [curves_picture({"A": rows(9, 0.0), "B": rows(9, shift)}).png for shift in (0.0, 0.0, 0.5)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_runs_without_rows_are_drawn_without_a_word() -> None:
    assert curves_picture({"A": [], "B": []}).png.startswith(b"\x89PNG")
    assert curves_picture({"A": [], "B": rows(3, 0.0)}).png.startswith(b"\x89PNG")


def test_losses_that_no_logarithm_can_show_are_drawn_without_a_warning() -> None:
    """Of 0, where the network knows its images by heart; and below 0, where the loss is the user's own."""
    for low in (0.0, -2.0):
        flat = [{"step": step, "split": "train", "loss": low, "accuracy": 1.0} for step in (1, 2)]
        assert curves_picture({"A": flat, "B": flat}).png.startswith(b"\x89PNG")
