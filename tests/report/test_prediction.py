import numpy as np
import pytest
from numpy.typing import NDArray

from harness.data import sources
from harness.data.images import RowNumbers, Stored
from harness.report.prediction import unlike


@pytest.mark.slow
def test_digits_are_like_digits_and_their_negatives_are_not() -> None:
    mnist = sources.load("mnist")
    digits = mnist.x_test[:200]
    assert [odd for odd in (unlike(digit, mnist.x_train) for digit in digits) if odd] == []
    swapped = [unlike(255 - digit, mnist.x_train) or "" for digit in digits]
    assert all("dark and bright look swapped, try --invert" in odd for odd in swapped)


def test_a_faint_one_is_told_to_want_contrast() -> None:
    mnist = sources.load("mnist")
    assert "raise its contrast" in (unlike(mnist.x_test[0] // 8, mnist.x_train) or "")


def test_one_that_is_neither_way_like_them_is_not_told_to_be_swapped() -> None:
    grey = np.full((28, 28, 1), 128, np.uint8)
    odd = unlike(grey, sources.load("mnist").x_train) or ""
    assert "its mean pixel is 128" in odd
    assert "--invert" not in odd


@pytest.mark.parametrize("value", [0, 255])
def test_where_the_data_hold_everything_nothing_is_odd(value: int) -> None:
    images = np.stack([np.full((4, 4, 3), pixel, np.uint8) for pixel in (0, 60, 200, 255)])
    assert unlike(np.full((4, 4, 3), value, np.uint8), images) is None


def test_of_large_images_no_more_are_read_than_memory_bears() -> None:
    asked: list[int] = []

    def read(rows: RowNumbers) -> NDArray[np.uint8]:
        asked.append(len(rows))
        return np.zeros((len(rows), 1, 1, 3), np.uint8)

    unlike(np.zeros((1, 1, 3), np.uint8), Stored(read, range(5000), (1024, 1024, 3)))
    assert asked == [85]  # 256 MiB; 2,000 are 6 GiB
