import io
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor

from harness.page.picture import MUTED
from harness.report.page.confusion import confusion
from harness.report.training_figures import (
    confusion_matrix,
    confusion_picture,
    curves_figure,
    curves_picture,
    occurring,
)


def test_confusion_matrix_counts_rows_as_true_and_columns_as_predicted() -> None:
    labels, predicted = np.array([0, 0, 1, 2, 2, 2], np.int32), np.array([0, 1, 1, 2, 0, 0])
    assert confusion_matrix(labels, predicted, 3).tolist() == [[1, 1, 0], [0, 1, 0], [2, 0, 1]]


def test_confusion_picture_says_what_it_shows() -> None:
    picture = confusion_picture(np.array([[10, 0, 1], [0, 12, 0], [3, 0, 9]]))
    for fact in ("31 of 35 test images right", "2 as 0 (3), 0 as 2 (1)"):
        assert fact in picture.alt


@pytest.mark.parametrize("name", ["cat", "$x_1$ and a very long name indeed", "猫", "кот"])
def test_confusion_picture_calls_classes_by_their_names(name: str) -> None:
    """Whatever they are: a letter that the font lacks would be a warning, which is an error here."""
    picture = confusion_picture(np.array([[10, 1], [0, 12]]), names=["ant", name])
    assert f": 0 ant as 1 {name} (1)" in picture.alt
    assert picture.png != confusion_picture(np.array([[10, 1], [0, 12]])).png


def test_confusion_picture_without_a_mistake_and_with_many_classes() -> None:
    assert confusion_picture(np.diag([5, 5])).alt.endswith("mistakes: none.")
    many = confusion_picture(np.eye(100, dtype=np.int64))
    assert "100 of 100 test images right" in many.alt
    of_20, of_21 = (muted_pixels(confusion_picture(np.eye(classes, dtype=np.int64)).png) for classes in (20, 21))
    assert of_20 > of_21 + 20  # each number has some; beyond 20 classes there is none


def muted_pixels(png: bytes) -> int:
    """How many have the colour of the numbers on the diagonal."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    return int(np.all(pixels == ImageColor.getrgb(MUTED), axis=-1).sum())


def test_curves_stand_below_each_other_on_a_telephone() -> None:
    train = {"step": 1, "split": "train", "loss": 2.0, "accuracy": 0.1, "learning_rate": 0.1}
    picture = curves_picture([train])
    assert picture.narrow
    wide, narrow = (Image.open(io.BytesIO(png)).size for png in (picture.png, picture.narrow))
    assert wide[0] > wide[1]
    assert narrow[0] < narrow[1]
    assert narrow[0] < 500


@pytest.mark.slow
def test_curves_of_a_run_without_validation_or_of_no_step_at_all() -> None:
    train = {"step": 1, "split": "train", "loss": 2.0, "accuracy": 0.1, "learning_rate": 0.1}
    assert "Last train: loss 2.0000, accuracy 0.1000." in curves_picture([train]).alt
    empty = curves_picture([])
    assert "Last" not in empty.alt
    assert empty.table is not None
    assert empty.table.rows == []
    assert Image.open(io.BytesIO(empty.png)).size == Image.open(io.BytesIO(curves_picture([train]).png)).size


def test_of_a_hundred_thousand_classes_those_that_occur_are_counted() -> None:
    labels, predicted = np.array([7, 7, 99_999, 5], np.int32), np.array([7, 99_999, 99_999, 5])
    names = occurring(labels, predicted, 100_000)
    assert names.tolist() == [5, 7, 99_999]
    matrix = confusion_matrix(np.searchsorted(names, labels), np.searchsorted(names, predicted), len(names))
    assert confusion_picture(matrix, names).alt.endswith(": 7 as 99999 (1).")
    (pair,) = confusion(labels, predicted, 100_000).pairs
    assert (pair.label, pair.predicted, pair.count, pair.rows) == (7, 99_999, 1, [1])


ROWS: list[dict[str, Any]] = [
    {"step": 10, "split": "train", "loss": 2.3, "accuracy": 0.1, "learning_rate": 0.001},
    {"step": 1500, "split": "train", "loss": 0.56, "accuracy": 0.98, "learning_rate": 0.003},
    {"step": 1500, "split": "validation", "loss": 0.12, "accuracy": 0.99},
    {"step": 1500, "split": "test", "loss": 0.13, "accuracy": 0.98},
]


def drawn(smoothing: float) -> list[tuple[str, set[str]]]:
    """The title of each axes that shows a loss, and the splits on them."""
    return [
        (axes.get_title("left"), {str(line.get_label()) for line in axes.lines})
        for axes in curves_figure(ROWS, smoothing).axes
        if "loss" in axes.get_title("left").lower()
    ]


def test_a_smoothed_loss_is_not_drawn_over_one_that_is_not() -> None:
    ((_, together),) = drawn(0.0)
    assert together == {"train", "validation", "test"}
    (smoothed, train), (_, others) = drawn(0.1)
    assert "label smoothing 0.1" in smoothed
    assert train == {"train"}
    assert others == {"validation", "test"}


@pytest.mark.slow
def test_each_metric_has_axes_of_its_own() -> None:
    """Of five panels; a row may have none, where the metric was added later, or none that is finite."""
    rows = [dict(row) for row in ROWS]
    rows[-1] |= {"top_3": 0.75}
    rows[-2] |= {"top_3": None}
    figure = curves_figure(rows, 0.0, ["top_3", "brier"])
    figure.canvas.draw()
    assert [axes.get_title(loc="left") for axes in figure.axes][-2:] == ["Top 3", "Brier"]
    assert len(figure.axes) == 5
    table = curves_picture(rows, 0.0, ["top_3"]).table
    assert table is not None
    assert table.headings[-1] == "top_3"
    assert [row.cells[-1] for row in table.rows][-2:] == ["", "0.7500"]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_axes_begin_where_the_data_do_and_have_plain_numbers(smoothing: float) -> None:
    figure = curves_figure(ROWS, smoothing)
    figure.canvas.draw()
    for axes in figure.axes:
        assert axes.get_xlim() == (10, 1500)
        shown = [label.get_text() for label in [*axes.get_xticklabels(), *axes.get_yticklabels(which="both")]]
        numbers = [text.replace(",", "") for text in shown if text]
        assert len(numbers) > 3
        assert all(text.replace(".", "", 1).isdigit() for text in numbers), numbers


@pytest.mark.parametrize("losses", [[1.1, 0.9], [1.1, 0.02], [1.1, 1e-3, 1e-7, 0.0, 0.0], [0.0, 0.0], [0.5, -2.0]])
def test_a_loss_of_any_size_has_an_axis_that_can_be_read(losses: list[float]) -> None:
    """One that falls to 0, where the network knows its few images by heart; and one of the user's own below 0."""
    rows = [
        {"step": step, "split": "train", "loss": loss, "accuracy": 1.0, "learning_rate": 0.1}
        for step, loss in enumerate(losses)
    ]
    figure = curves_figure([*rows, {"step": len(rows), "split": "test", "loss": 195.0, "accuracy": 0.3}], 0.0)
    figure.canvas.draw()
    axes = figure.axes[0]
    low, high = axes.get_ylim()
    labels = [
        label.get_window_extent()
        for label, at in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True)
        if low <= at <= high and label.get_text()
    ]
    assert len(labels) > 1
    assert all(below.y1 <= above.y0 for below, above in pairwise(labels))
    curve = axes.lines[0].get_window_extent()
    assert curve.y0 >= axes.get_window_extent().y0 - 1
    assert axes.get_window_extent().height > figure.bbox.height / 2


@pytest.mark.slow
def test_the_matrix_has_the_hue_of_the_one_on_the_page() -> None:
    picture = Image.open(io.BytesIO(confusion_picture(np.array([[10, 0, 1], [0, 12, 0], [3, 0, 9]])).png))
    pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).tolist()
    worst = pixels.count([0x8F, 0xAF, 0xD3])
    assert worst > 1000
    page = np.round(0.5 * np.array([31, 95, 168]) + 0.5 * 255)  # page.css: the wash, half through, on white
    assert np.abs(page - [0x8F, 0xAF, 0xD3]).max() <= 2
