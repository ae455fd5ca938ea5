"""Labels in all their forms, and images of other numbers than bytes."""

from typing import Any

import numpy as np
import pytest

from harness.config.data import DataSection
from harness.data import sources
from harness.data.labels import recognised
from harness.errors import DataError
from harness.imports import handed

NUMBERS = np.array([2, 0, 1, 1, 2, 0])
ANIMALS = np.array(["ape", "bee", "cat"])


@pytest.mark.parametrize(
    ("given", "names", "told"),
    [
        (NUMBERS, (), ""),
        (NUMBERS.astype(np.uint64), (), ""),
        (NUMBERS[:, None], (), "(n, 1)"),
        (NUMBERS + 1, ("1", "2", "3"), "numbers from 1 to 3, here from 0"),
        (NUMBERS[:, None] + 1, ("1", "2", "3"), "(n, 1), numbers from 1 to 3, here from 0"),
        (np.eye(3, dtype=np.float32)[NUMBERS], (), "one-hot (n, 3)"),
        (np.eye(3, dtype=bool)[NUMBERS], (), "one-hot (n, 3)"),
        (ANIMALS[NUMBERS], ("ape", "bee", "cat"), "names"),
        (ANIMALS.astype("S")[NUMBERS][:, None], ("ape", "bee", "cat"), "(n, 1), names"),
    ],
)
def test_are_recognised(given: Any, names: tuple[str, ...], told: str) -> None:
    labels = recognised("it", given, given[:3], (6, 3))
    assert (labels.names, labels.given_as) == (names, told)
    assert labels.train.tolist() == NUMBERS.tolist()
    assert labels.test.tolist() == NUMBERS[:3].tolist()
    assert labels.train.dtype == labels.test.dtype == np.int32


@pytest.mark.parametrize("given", [NUMBERS + 2, NUMBERS * 2 + 1, np.ones(6, int)])
def test_numbers_from_elsewhere_stay_what_they_are(given: Any) -> None:
    labels = recognised("it", given, given, (6, 6))
    assert (labels.train.tolist(), labels.names, labels.given_as) == (given.tolist(), (), "")


def test_a_name_that_only_the_test_set_has_is_a_class() -> None:
    labels = recognised("it", ANIMALS[[1, 2]], ANIMALS[[0]], (2, 1))
    assert (labels.names, labels.train.tolist(), labels.test.tolist()) == (("ape", "bee", "cat"), [1, 2], [0])


@pytest.mark.parametrize(
    ("train", "test", "told"),
    [
        (np.eye(3)[NUMBERS] * 0.9, np.eye(3), r"6 numbers or names, or one-hot, not float64 \(6, 3\): row 0"),
        (np.ones((6, 3)), np.eye(3), "row 0 isn't"),
        (np.eye(3)[NUMBERS[:5]], np.eye(3), "labels must be 6"),
        (np.array([["a", "b"]] * 6), np.array([["a", "b"]] * 3), r"one-hot, not <U1 \(6, 2\)"),
        (ANIMALS[NUMBERS], NUMBERS[:3], "labels must be 6 integers, not <U3"),
        (NUMBERS, np.eye(3), r"labels must be 3 integers, not float64 \(3, 3\)"),
        (ANIMALS[NUMBERS][:5], ANIMALS, "5 train labels for 6 train images"),
        (NUMBERS, NUMBERS[:4], "4 test labels for 3 test images"),
        (ANIMALS[NUMBERS].reshape(3, 2), ANIMALS, r"labels must be 6 names, not <U3 \(3, 2\)"),
        (NUMBERS.astype(float), NUMBERS[:3], "labels must be 6 integers, not float64"),
    ],
)
def test_anything_else_is_refused(train: Any, test: Any, told: str) -> None:
    with pytest.raises(DataError, match=f"^data.source: it: .*{told}"):
        recognised("it", train, test, (6, 3))


@pytest.mark.parametrize(
    ("given", "class_names", "names", "labels"),
    [
        ([1, 2, 1], ("background", "cat", "dog"), ("background", "cat", "dog"), [1, 2, 1]),
        ([1, 2, 1], ("cat", "dog"), ("cat", "dog"), [0, 1, 0]),
        ([1, 3, 1], ("cat", "dog", "elk"), ("cat", "dog", "elk"), [0, 2, 0]),
        ([0, 1, 0], ("cat", "dog", "elk"), ("cat", "dog", "elk"), [0, 1, 0]),
        (["cat", "ant", "cat"], ("cat", "dog", "ant"), ("cat", "dog", "ant"), [0, 2, 0]),
        ([b"cat", b"ant", b"cat"], ("cat", "ant"), ("cat", "ant"), [0, 1, 0]),
    ],
)
def test_are_numbered_as_the_source_names_its_classes(
    given: Any, class_names: tuple[str, ...], names: tuple[str, ...], labels: list[int]
) -> None:
    found = recognised("it", np.array(given), np.array(given), (3, 3), class_names)
    assert (found.names, found.train.tolist(), found.test.tolist()) == (names, labels, labels)


def test_the_names_of_a_handed_source_stand_for_its_labels() -> None:
    class Photos:
        labels, class_names = np.array([1, 2, 1, 1, 2, 2]), ("background", "cat", "dog")
        read = staticmethod(lambda rows: PIXELS[rows])
        __len__ = staticmethod(lambda: 6)

    data = load(Photos(), Photos())
    assert (data.class_names, data.y_train.tolist()) == (Photos.class_names, [1, 2, 1, 1, 2, 2])


def test_a_name_that_the_source_does_not_have_is_refused() -> None:
    given = np.array(["cat", "cow", "emu"])
    with pytest.raises(DataError, match=r"^data\.source: it: labels cow, emu .* 2 class_names"):
        recognised("it", given, given, (3, 3), ("cat", "dog"))


def test_names_in_bytes_are_utf_8() -> None:
    given = np.array(["é".encode(), b"a"])
    assert recognised("it", given, given, (2, 2)).names == ("a", "é")
    given[0] = "é".encode("latin-1")
    with pytest.raises(DataError, match=r"^data\.source: it: .* b'\\xe9' is not UTF-8"):
        recognised("it", given, given, (2, 2))


def test_a_class_of_one_hot_that_never_occurs_keeps_its_place() -> None:
    given = np.eye(3)[[1, 2]]
    assert recognised("it", given, given, (2, 2)).train.tolist() == [1, 2]


def load(train: Any, test: Any, **data: Any) -> sources.DataSet:
    with handed({"__main__:<arrays>": (train, test)}):
        return sources.load(DataSection(source="__main__:<arrays>", **data))


PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), np.uint8)


@pytest.mark.parametrize(
    ("images", "scale"),
    [
        (PIXELS / np.float32(255), (0, 1)),
        (PIXELS / 127.5 - 1, (-1, 1)),
        (PIXELS.astype(np.uint16) * 257, (0, 65535)),
        (PIXELS.astype(np.int64), (0, 255)),
    ],
)
def test_other_numbers_are_scaled_as_declared(images: Any, scale: tuple[float, float]) -> None:
    data = load((images, NUMBERS), (images[:3], NUMBERS[:3]), scale=scale)
    np.testing.assert_array_equal(data.x_train, PIXELS)
    assert data.x_test.dtype == np.uint8
    with pytest.raises(DataError, match=r"data\.scale .*black and white"):
        load((images, NUMBERS), (images[:3], NUMBERS[:3]))


@pytest.mark.parametrize("value", [1.01, -0.01, np.nan, np.inf])
def test_a_value_outside_of_what_is_declared_is_refused(value: float) -> None:
    images = PIXELS / 255
    images[4, 3, 2, 0] = value
    with pytest.raises(DataError, match=r"data\.scale: \[0, 1\] doesn't hold"):
        load((images, NUMBERS), (PIXELS / 255, NUMBERS), scale=(0, 1))
