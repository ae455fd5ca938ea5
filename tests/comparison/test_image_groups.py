import numpy as np
from numpy.typing import NDArray

from harness.comparison.image_groups import GROUPS, all_rows, choose


def says(*pairs: tuple[int, float]) -> NDArray[np.float32]:
    """Probabilities of 3 classes: the class said and how surely, the rest evenly."""
    rows = np.array([[(1 - sure) / 2] * 3 for _, sure in pairs], np.float32)
    for row, (label, sure) in zip(rows, pairs, strict=True):
        row[label] = sure
    return rows


LABELS = np.array([0, 1, 2, 0, 1, 2, 0], np.int32)
A = says((0, 0.9), (1, 0.6), (2, 0.9), (1, 0.9), (0, 0.9), (0, 0.9), (0, 0.9))
B = says((1, 0.5), (2, 0.9), (2, 0.9), (0, 0.9), (0, 0.8), (1, 0.9), (0, 0.5))
"""Only A; only A, further apart; both; only B; both wrong alike; both wrong apart; both."""


def test_every_image_is_in_the_group_of_its_outcome() -> None:
    found = choose(LABELS, A, B, count=20, seed=0)
    assert {kind: set(group.rows.tolist()) for kind, group in found.items()} == {
        "only_a": {0, 1},
        "only_b": {3},
        "apart": {5},
        "alike": {4},
        "both": {2, 6},
    }
    assert sorted(all_rows(found)) == list(range(7))
    assert set(found) < set(GROUPS)


def test_those_further_apart_on_the_true_class_come_first_and_the_rest_is_counted() -> None:
    only_a = choose(LABELS, A, B, count=1, seed=0)["only_a"]
    assert only_a.rows.tolist() == [0], "0.9 against 0.25, where row 1 has 0.6 against 0.05"
    assert only_a.of == 2


def test_named_ones_come_first_all_of_them_and_once() -> None:
    found = choose(LABELS, A, B, count=1, seed=0, named=[6, 3, 6])
    assert next(iter(found)) == "named"
    assert found["named"].rows.tolist() == [6, 3]
    assert "only_b" not in found
    rows = all_rows(found).tolist()
    assert len(rows) == len(set(rows))


def test_models_that_agree_on_everything_still_have_images_to_show() -> None:
    wrong = np.roll(LABELS, 1)
    same = says(*((int(label), 0.8) for label in np.where(wrong == LABELS, (LABELS + 1) % 3, wrong)))
    assert set(choose(LABELS, same, same, count=20, seed=0)) == {"alike"}


def test_those_both_get_right_are_few_and_evenly_over_the_classes() -> None:
    labels = np.repeat(np.arange(3), 50).astype(np.int32)
    sure = says(*((int(label), 0.9) for label in labels))
    rows = choose(labels, sure, sure, count=200, seed=0)["both"].rows
    assert np.bincount(labels[rows]).tolist() == [4, 3, 3]
