"""The picture of the confusion matrix."""

import io

import numpy as np
import pytest
from PIL import Image, ImageColor

from harness.page.picture import MUTED
from harness.report.confusion_figure import (
    confusion_matrix,
    confusion_picture,
    occurring,
)
from harness.report.page.confusion import confusion


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


def test_of_a_hundred_thousand_classes_those_that_occur_are_counted() -> None:
    labels, predicted = np.array([7, 7, 99_999, 5], np.int32), np.array([7, 99_999, 99_999, 5])
    names = occurring(labels, predicted, 100_000)
    assert names.tolist() == [5, 7, 99_999]
    matrix = confusion_matrix(np.searchsorted(names, labels), np.searchsorted(names, predicted), len(names))
    assert confusion_picture(matrix, names).alt.endswith(": 7 as 99999 (1).")
    (pair,) = confusion(labels, predicted, 100_000).pairs
    assert (pair.label, pair.predicted, pair.count, pair.rows) == (7, 99_999, 1, [1])


@pytest.mark.slow
def test_the_matrix_has_the_hue_of_the_one_on_the_page() -> None:
    picture = Image.open(io.BytesIO(confusion_picture(np.array([[10, 0, 1], [0, 12, 0], [3, 0, 9]])).png))
    pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).tolist()
    worst = pixels.count([0x8F, 0xAF, 0xD3])
    assert worst > 1000
    page = np.round(0.5 * np.array([31, 95, 168]) + 0.5 * 255)  # page.css: the wash, half through, on white
    assert np.abs(page - [0x8F, 0xAF, 0xD3]).max() <= 2
