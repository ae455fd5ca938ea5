"""The curves of training: what is drawn, and on which axes."""

import io
from itertools import pairwise
from typing import Any

import pytest
from PIL import Image

from harness.report.training_figures import curves_figure, curves_picture


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
