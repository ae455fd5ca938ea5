"""The warnings about images: what is doubtful is told with its rows, and what isn't raises none."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.data import sources
from harness.data.quality import doubts
from harness.data.scan import scans
from harness.data.sources import DataSet


def noise(count: int, shape: tuple[int, int, int] = (6, 5, 1), seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def of(train: NDArray[np.uint8], test: NDArray[np.uint8], labels: NDArray[np.intp] | None = None) -> DataSet:
    """Two classes in turn."""
    labels = np.arange(len(train)) % 2 if labels is None else labels
    return DataSet(train, labels.astype(np.int32), test, (np.arange(len(test)) % 2).astype(np.int32))


def told(data: DataSet, validation: int = 0, **how: Any) -> list[str]:
    return doubts(data, data.splits(validation, **how), scans(data, pytest.fail))


def test_mnist_raises_no_doubt_within_a_second() -> None:
    mnist = sources.load("mnist")
    started = time.process_time()
    assert told(mnist, 5000) == []
    assert time.process_time() - started < 1


def test_images_of_training_in_validation_and_test_are_counted_and_named() -> None:
    train, test = noise(40), noise(9, seed=1)
    assert told(of(train, test), 10) == []
    test[[2, 4, 6, 8]] = train[[29, 0, 0, 7]]
    train[31] = train[4]  # held out for validation
    validation_line, test_line = told(of(train, test), 10)
    for fact in ("1 of 10 validation images", "validation row 31 is training row 4"):
        assert fact in validation_line
    for fact in (
        "4 of 9 test images",
        "test row 2 is training row 29",
        "test row 4 is training row 0",
        "test row 6 is training row 0",
        "and 1 more",
    ):
        assert fact in test_line


def test_one_image_with_two_labels_is_told() -> None:
    train = noise(40)
    train[[8, 10]] = train[2]
    train[[21, 31]] = train[14]
    (line,) = told(of(train, noise(9, seed=1)))
    for fact in ("3 of 40 training images", "training row 14", "training row 21", "training row 31"):
        assert fact in line


def test_channels_that_come_first_are_told() -> None:
    assert told(of(noise(40, (3, 8, 8)), noise(9, (3, 8, 8), seed=1)))[0].startswith("images are 3×8 with 8 channels")
    assert told(of(noise(40, (3, 8, 4)), noise(9, (3, 8, 4), seed=1))) == []


@pytest.mark.parametrize("shape", [(6, 5, 1), (6, 5, 3)])
def test_images_that_differ_in_one_pixel_are_not_the_same(shape: tuple[int, int, int]) -> None:
    train = noise(20, shape)
    test = train[:4].copy()
    test[:, 2, 3, 0] ^= 1
    assert told(of(train, test)) == []


@pytest.mark.parametrize("colour", [(0,), (255,), (200, 0, 0), (10, 200, 90)])
def test_images_of_one_colour_are_named(colour: tuple[int, ...]) -> None:
    shape = (6, 5, len(colour))
    train, test = noise(20, shape), noise(8, shape, seed=1)
    flat = np.broadcast_to(np.array(colour, np.uint8), shape).copy()
    train[[3, 11]] = flat
    train[11, 0, 0] ^= 3  # as JPEG makes it
    test[6] = flat ^ 1
    training_line, test_line = told(of(train, test))
    for fact in ("2 of 20 training images", "one colour", "training row 3, training row 11"):
        assert fact in training_line
    for fact in ("1 of 8 test images", "one colour", "test row 6"):
        assert fact in test_line
    assert [line.count("row") for line in (training_line, test_line)] == [2, 1]


def test_a_faint_image_is_not_of_one_colour() -> None:
    train = noise(20)
    train[3] = 100 + noise(1) % 10
    train[3, 0, 0], train[3, 0, 1] = 100, 109
    assert told(of(train, noise(8, seed=1))) == []


def test_classes_of_very_different_size_are_told_with_the_ratio() -> None:
    labels = np.array([0] * 90 + [1] * 9 + [2] * 30)
    train, test = noise(129), noise(3, seed=1)
    data = DataSet(train, labels.astype(np.int32), test, np.arange(3, dtype=np.int32))
    (line,) = told(data)
    for fact in ("class 0 has 90 of 129 training rows", "class 1 has 9,", "10 times fewer", "loss.class_weights"):
        assert fact in line
    labels[0] = 1
    assert told(DataSet(train, labels.astype(np.int32), test, np.arange(3, dtype=np.int32))) == []


def test_rows_are_counted_among_all_training_rows_however_they_were_chosen() -> None:
    train = noise(40)
    train[36], train[38] = train[3], 0
    colour_line, shared_line = told(of(train, noise(4, seed=1)), fold="4/4")
    for fact in ("1 of 10 validation images", "one colour", "validation row 38"):
        assert fact in colour_line
    assert "validation row 36 is training row 3" in shared_line
    train[36], train[2] = noise(2, seed=2)
    train[31] = train[7]
    (shared_line,) = [line for line in told(of(train, noise(4, seed=1)), fold="1/4") if "is training row" in line]
    assert "validation row 7 is training row 31" in shared_line


def test_files_are_called_by_their_names() -> None:
    train, test = noise(4), noise(2, seed=1)
    train[2], test[1] = 0, train[3]
    names = ["a/0.png", "a/1.png", "b/2.png", "b/3.png"], ["a/4.png", "b/5.png"]
    colour_line, shared_line = told(replace(of(train, test), names=names))
    assert colour_line.endswith("b/2.png")
    assert shared_line.endswith("b/5.png is b/3.png")


def test_images_that_were_not_looked_through_leave_the_doubts_about_classes() -> None:
    data = DataSet(noise(20), np.zeros(20, np.int32), noise(2), np.ones(2, np.int32))
    assert told(data)
    (line,) = doubts(data, data.splits(0), None)
    assert "no training row has class 1" in line
