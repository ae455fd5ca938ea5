from typing import Any

from harness.comparison.curves import compare_curves


def row(step: int, split: str, loss: float, accuracy: float = 0.5) -> dict[str, Any]:
    return {"step": step, "split": split, "loss": loss, "accuracy": accuracy, "images_per_second": step / 7}


def test_the_first_step_of_validation_at_which_both_have_a_row_and_differ() -> None:
    a = [row(step, "validation", loss) for step, loss in ((10, 2.0), (20, 1.0), (30, 0.5), (40, 0.4))]
    b = [row(step, "validation", loss) for step, loss in ((15, 9.0), (20, 1.0), (30, 0.50000001), (40, 0.4))]
    found = compare_curves(a, b)["validation"]
    assert found.first is not None
    assert found.first.step == 30
    assert found.first.a == {"loss": 0.5, "accuracy": 0.5}
    assert found.first.b == {"loss": 0.50000001, "accuracy": 0.5}
    assert (found.both, found.only_a, found.only_b) == (3, 1, 1)
    for fact in ("first differ at step 30", "1 row of A", "1 row of B", "no counterpart"):
        assert fact in found.words


def test_the_accuracy_alone_may_differ() -> None:
    found = compare_curves([row(10, "validation", 1.0, 0.5)], [row(10, "validation", 1.0, 0.51)])["validation"]
    assert found.first is not None
    assert found.first.step == 10


def test_rows_of_training_count_only_where_they_cover_the_same_steps() -> None:
    a = [row(10, "train", 2.0), row(50, "train", 1.0), row(100, "train", 0.5), row(150, "train", 0.2)]
    b = [row(10, "train", 2.0), row(70, "train", 0.9), row(100, "train", 0.4), row(150, "train", 0.2)]
    found = compare_curves(a, b)["train"]
    assert found.first is None, "those of step 100 are means over 50 and over 30 steps"
    assert (found.both, found.only_a, found.only_b) == (2, 2, 2)
    assert "identical" in found.words
    assert "2 common steps" in found.words


def test_speed_is_no_part_of_a_curve_and_splits_do_not_mix() -> None:
    a = [row(10, "train", 2.0), row(10, "validation", 1.5), row(10, "test", 1.0)]
    b = [{**row(10, "train", 2.0), "images_per_second": 1.0}, row(10, "validation", 1.5), row(10, "test", 3.0)]
    found = compare_curves(a, b)
    assert set(found) == {"train", "validation"}
    for one in found.values():
        assert (one.both, one.only_a, one.only_b) == (1, 0, 0)
        assert "identical" in one.words
        assert "one common step" in one.words
        assert "row" not in one.words, "each has its counterpart"


def test_where_nothing_meets_it_is_said() -> None:
    found = compare_curves([row(10, "validation", 1.0)], [])
    assert "no steps in common" in found["validation"].words
    assert "1 row of A has no counterpart" in found["validation"].words
    assert "no steps in common" in found["train"].words
    assert "row" not in found["train"].words
