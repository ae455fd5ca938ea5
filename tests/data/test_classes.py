"""The warnings about classes: of what is likely to be a mistake, and of nothing else."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike

from harness.data import sources
from harness.data.classes import called, doubts
from harness.data.sources import DataSet, Split
from tests.conftest import Result

DRAWN = np.random.default_rng(0).integers(0, 10, 2000)


def data(train: ArrayLike, test: ArrayLike | None = None) -> DataSet:
    train = np.asarray(train, np.int32)
    test = np.asarray(train if test is None else test, np.int32)
    return DataSet(np.zeros((len(train), 1, 1, 1), np.uint8), train, np.zeros((len(test), 1, 1, 1), np.uint8), test)


def told(of: DataSet, validation: int, stratify: bool = False) -> list[str]:
    return doubts(of.splits(validation, stratify), of.classes)


@pytest.mark.parametrize("validation", [0, 1, 5, 20, 100, 500])
@pytest.mark.parametrize("seed", range(5))
def test_rows_in_no_order_raise_none(validation: int, seed: int) -> None:
    assert not told(data(np.random.default_rng(seed).permutation(DRAWN)), validation)


def test_mnist_raises_none() -> None:
    mnist = sources.load("mnist")
    assert not doubts(mnist.splits(5000), 10)


@pytest.mark.parametrize("validation", [50, 200, 500])
def test_rows_in_the_order_of_their_classes(validation: int) -> None:
    ordered = data(np.sort(DRAWN), DRAWN)
    (said,) = told(ordered, validation)
    assert "data.stratify: true" in said
    assert re.search(r"class(es 8,)? 9\b", said)
    assert not told(ordered, validation, stratify=True)


def test_one_class_alone_is_told() -> None:
    (said,) = told(data([0] * 30), 5)
    assert "one class, 0" in said


def test_a_test_split_of_other_proportions_is_told() -> None:
    (said,) = told(data([0, 1, 2] * 200, [0] * 60), 60)
    for fact in ("test has", "class 0 is 100% of test and 33% of training"):
        assert fact in said
    assert not told(data([0, 1, 2] * 200, [0, 1] * 30 + [2] * 10), 60)


def test_a_class_that_a_split_lacks_is_told_where_that_is_no_chance() -> None:
    few, many = data([0, 1, 2] * 100, [0, 1] * 10), data([0, 1, 2] * 100, [0, 1] * 20)
    assert not told(few, 0)
    assert "test has no row of class 2, which training has" in told(many, 0)[-1]
    held_out = data([0, 1, 2] * 100 + [0, 1] * 20, [0, 1, 2] * 10)
    (said,) = told(held_out, 40)
    assert "validation has" in said


def test_classes_that_training_never_sees_are_counted() -> None:
    (said,) = told(data([0] * 300 + [1] * 300 + [2] * 60, [0, 1, 2, 2]), 60)
    for fact in ("no training row has class 2,", "60 of 60 validation rows", "2 of 4 test rows"):
        assert fact in said
    (said,) = told(data([0, 1] * 50, [0, 1, 2, 3]), 20)
    for fact in ("classes 2, 3", "2 of 4 test rows"):
        assert fact in said
    assert "validation" not in said


def test_classes_with_names_are_told_by_them() -> None:
    split = Split(np.zeros((2, 1, 1, 1), np.uint8), np.array([0, 1], np.int32), ("ant", "bee", "cat"))
    test = replace(split, labels=np.array([1, 2], np.int32))
    (said,) = doubts((split, replace(split, labels=split.labels[:0]), test), 3)
    assert "class 2 cat" in said
    assert "1 of 2 test rows" in said


def test_an_output_beyond_the_classes_is_a_number() -> None:
    assert [called(label, ("ant", "bee")) for label in range(3)] == ["0 ant", "1 bee", "2"]


def test_labels_that_begin_at_1() -> None:
    (said,) = told(data(DRAWN + 1), 100)
    for fact in ("no row has class 0", "from 1 to 10", "11 classes", "of which 10 occur"):
        assert fact in said


@pytest.mark.parametrize("count", [0, 1, 7, 100, 999])
def test_stratified_rows_are_the_last_of_each_class_in_its_share(count: int) -> None:
    labels = np.sort(DRAWN)
    rows = np.arange(2000, dtype=np.uint8).reshape(-1, 1, 1, 1)
    train, validation, _ = DataSet(rows, labels.astype(np.int32), rows[:1], labels[:1].astype(np.int32)).splits(
        count, True
    )
    assert (len(train), len(validation)) == (2000 - count, count)
    for label in range(10):
        share = count * (labels == label).sum() / 2000
        held_out = (validation.labels == label).sum()
        assert abs(held_out - share) < 1
        of_class = rows[labels == label]
        own = np.concatenate([split.images[split.labels == label] for split in (train, validation)])
        np.testing.assert_array_equal(own, of_class)


def test_the_warning_is_a_line_of_the_dry_run(call: Callable[..., Result], small_data: Path, tmp_path: Path) -> None:
    with np.load(small_data) as file:
        arrays = {name: file[name][:300] for name in file.files}
    order = np.argsort(arrays["y_train"], kind="stable")
    np.savez(
        tmp_path / "sorted.npz", **{**arrays, "x_train": arrays["x_train"][order], "y_train": arrays["y_train"][order]}
    )
    dry = ("train", "mnist", "--dry-run", "--set", f"data.source={tmp_path}/sorted.npz", "--set", "data.validation=40")
    shown = call(*dry)
    assert shown.exit_code == 0
    (line,) = shown.stderr.splitlines()
    assert line.startswith(f"warning: {tmp_path}/sorted.npz: ")
    assert "data.stratify: true" in line
    assert call(*dry, "--set", "data.stratify=true").stderr == ""
