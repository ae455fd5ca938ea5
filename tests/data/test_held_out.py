"""Folds, shares and subsets of the training rows."""

from typing import Any, NoReturn

import numpy as np
import pytest

from harness.config import resolve
from harness.config.data import rows_of
from harness.data.images import Stored
from harness.data.sources import DataSet, Split
from harness.errors import DataError

LABELS = np.random.default_rng(0).choice(4, 203, p=[0.5, 0.3, 0.15, 0.05]).astype(np.int32)
ROWS = np.arange(203, dtype=np.uint8).reshape(-1, 1, 1, 1)
DATA = DataSet(ROWS, LABELS, ROWS[:3], LABELS[:3])


def rows(split: Split) -> list[int]:
    assert (LABELS[split.images[:].ravel()] == split.labels).all()
    return split.images[:].ravel().tolist()


def split(**data: Any) -> tuple[Split, Split, Split]:
    return DATA.split_for(resolve({"seed": data.pop("seed", 0), "data": {"validation": 50} | data}))


@pytest.mark.parametrize("stratify", [False, True])
@pytest.mark.parametrize("folds", [2, 5, 203])
def test_each_row_is_in_one_fold_and_trains_in_all_others(stratify: bool, folds: int) -> None:
    seen = []
    for number in range(1, folds + 1) if folds < 10 else (1, folds):
        train, validation, test = split(fold=f"{number}/{folds}", stratify=stratify)
        assert sorted(rows(train) + rows(validation)) == list(range(203))
        assert len(test) == 3
        seen += rows(validation)
        if stratify and folds < 10:
            for label in range(4):
                share = np.count_nonzero(label == LABELS) / folds
                assert abs((validation.labels == label).sum() - share) < 1
    assert folds > 10 or sorted(seen) == list(range(203))


def test_the_last_fold_is_the_last_rows() -> None:
    assert rows(split(fold="7/7")[1]) == rows(split(validation=29)[1])


def test_a_share_is_so_many_rows() -> None:
    assert rows(split(validation="10 %")[1]) == rows(split(validation=20)[1])
    assert len(split(subset="50%")[0]) == 76


@pytest.mark.parametrize("others", [{}, {"fold": "2/5"}, {"stratify": True}])
def test_a_subset_is_drawn_by_the_seed_of_each_class_its_share(others: dict[str, Any]) -> None:
    whole, validation, _ = split(**others)
    train, still, _ = split(subset=60, **others)
    assert rows(still) == rows(validation)
    assert len(train) == 60
    assert set(rows(train)) <= set(rows(whole))
    assert rows(train) == rows(split(subset=60, **others)[0]) == sorted(rows(train))
    assert rows(train) != rows(split(subset=60, seed=1, **others)[0])
    for label in range(4):
        assert abs((train.labels == label).sum() - 60 * (whole.labels == label).mean()) < 1
    assert rows(split(subset=len(whole), **others)[0]) == rows(whole)


def test_a_share_is_exact_where_binary_fractions_are_not() -> None:
    assert rows_of("2.3 %", 50_000) == 1150
    assert rows_of("64.1 %", 1000) == 641
    assert rows_of("10 %", 19) == 1


def test_a_larger_subset_has_the_rows_of_a_smaller_one() -> None:
    few, many = (set(rows(split(subset=count)[0])) for count in (30, 90))
    assert len(few - many) <= 3, "shares are rounded"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"fold": "1/204"}, "data.fold: 1/204 of 203 training rows: at least 204"),
        ({"subset": 154}, "data.subset: 154 must be from 1 to the 153"),
        ({"subset": 0}, "data.subset: 0 must be from 1"),
        ({"subset": "0.1 %"}, "data.subset: 0.1 % is 0 rows, and must be from 1"),
    ],
)
def test_what_can_not_be(data: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        split(**data)


def test_a_validation_split_of_the_source_is_taken_as_it_is() -> None:
    own = DataSet(ROWS, LABELS, ROWS[:3], LABELS[:3], own_validation=11)
    train, validation, _ = own.splits(50, stratify=True)
    assert (rows(validation), len(train)) == (list(range(192, 203)), 192)
    assert len(own.splits(50, fold="1/2")[1]) == 101


def test_images_that_are_read_by_row_are_not_read_to_be_split() -> None:
    def read(rows: Any) -> NoReturn:
        raise AssertionError

    stored = Stored(read, range(203), (1, 1, 1))
    data = DataSet(stored, LABELS, stored, LABELS)
    assert [len(part) for part in data.splits(50, True, fold="1/2", subset=20)] == [20, 101, 203]
