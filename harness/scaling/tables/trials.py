"""The table of trials: how many steps each took to the target, from our own experiments or from any other trainer."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from typing import Literal, get_args

from harness.scaling.tables import table

Status = Literal["reached", "missed", "diverged"]


@dataclass(frozen=True)
class Trial:
    """One training run at one global batch, learning rate and seed.

    Attributes:
        steps_low: the last evaluated step below the target; 0 where the first evaluation reached it.
        steps_high: the first evaluated step at the target; None where there was none.
        status: "reached"; "missed": still below the target at `steps_low`, where it ended; "diverged" there.
    """

    global_batch: int
    learning_rate: float
    seed: int
    steps_low: int
    steps_high: int | None
    status: Status

    @property
    def steps(self) -> float | None:
        """The geometric middle of (steps_low, steps_high], or half of steps_high where it begins at 0; None where the
        target was not reached."""
        if self.steps_high is None:
            return None
        return sqrt(self.steps_low * self.steps_high) if self.steps_low else self.steps_high / 2


_COLUMNS = {
    "global_batch": table.whole(1),
    "learning_rate": table.positive,
    "seed": table.whole(0),
    "steps_low": table.whole(0),
    "steps_high": table.optional(table.whole(1)),
    "status": table.one_of(get_args(Status)),
}


def read(path: str | Path) -> list[Trial]:
    """The trials in the CSV file at `path`, which may have '#' comment lines and further columns, in any order.

    Raises DataError, in one line, for a file that can't be read, misses a column or holds anything wrong.
    """
    rows = table.read(path, _COLUMNS, key=("global_batch", "learning_rate", "seed"), check=_contradiction)
    return [Trial(**row) for row in rows]


def write(path: str | Path, trials: Sequence[Trial], comments: Sequence[str] = ()) -> None:
    """Replace the file at `path` at once by a table that `read` reads back. Raises OSError."""
    table.write(path, [asdict(trial) for trial in trials], list(_COLUMNS), comments)


def _contradiction(row: table.Row) -> str | None:
    low, high, status = row["steps_low"], row["steps_high"], row["status"]
    if status == "reached" and high is None:
        return "reached, but no steps_high: give the first evaluated step at the target"
    if status != "reached" and high is not None:
        return f"{status}, but steps_high is {high}: leave it empty"
    if high is not None and low >= high:
        return f"steps_low {low} must be below steps_high {high}: the last miss comes before the first hit"
    return None
