"""From which step on two curves differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SPLITS = ("train", "validation")
VALUES = ("loss", "accuracy")


@dataclass(frozen=True)
class FirstDifference:
    step: int
    a: dict[str, float]
    b: dict[str, float]
    """Loss and accuracy there."""


@dataclass(frozen=True)
class CurveComparison:
    first: FirstDifference | None
    """None where the curves are equal wherever both have a value, or nowhere both have one."""
    both: int
    """How many rows both have."""
    only_a: int
    only_b: int

    @property
    def words(self) -> str:
        """One or two sentences, without the last full stop."""
        if not self.both:
            text = "A and B have no steps in common"
        elif self.first is None:
            common = f"all {self.both:,} common steps" if self.both > 1 else "the one common step"
            text = f"A and B are identical at {common}"
        else:
            a, b = self.first.a, self.first.b
            text = (
                f"A and B first differ at step {self.first.step:,}: loss {a['loss']:.6g} and {b['loss']:.6g}, "
                f"accuracy {a['accuracy']:.4f} and {b['accuracy']:.4f}"
            )
        if not self.only_a + self.only_b:
            return text
        alone = [f"{_rows(count)} of {side}" for side, count in (("A", self.only_a), ("B", self.only_b)) if count]
        return f"{text}. {' and '.join(alone)} {'has' if self.only_a + self.only_b == 1 else 'have'} no counterpart"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def compare_curves(a: Sequence[dict[str, Any]], b: Sequence[dict[str, Any]]) -> dict[str, CurveComparison]:
    """By split, "train" and "validation", where two runs' rows of metrics.jsonl differ, to the last bit.

    A row of training is a mean over the steps since the row before, so there only rows that cover the same steps count.
    """
    return {split: _compared(_by_steps(a, split), _by_steps(b, split)) for split in SPLITS}


def _by_steps(rows: Sequence[dict[str, Any]], split: str) -> dict[tuple[int, int], dict[str, float]]:
    """Loss and accuracy by the steps they are of: behind which, and up to which."""
    found, before = {}, 0
    for row in rows:
        if row["split"] == split:
            found[before if split == "train" else row["step"], row["step"]] = {name: row[name] for name in VALUES}
            before = row["step"]
    return found


def _compared(
    a: dict[tuple[int, int], dict[str, float]], b: dict[tuple[int, int], dict[str, float]]
) -> CurveComparison:
    both = [steps for steps in a if steps in b]
    different = (steps for steps in both if a[steps] != b[steps])
    first = next((FirstDifference(steps[1], a[steps], b[steps]) for steps in different), None)
    return CurveComparison(first, len(both), len(a) - len(both), len(b) - len(both))
