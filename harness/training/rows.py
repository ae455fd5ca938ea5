"""What a run has measured, row by row, and the callbacks that take each row once."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.page.wording import measured
from harness.training.callback import Callback, Row
from harness.training.state import State

CALLBACK = "callback"
"""What rows of the user's own callbacks have for `split`; beside numbers they hold texts, and images as arrays."""


def newest(rows: Sequence[Row], split: str) -> Row | None:
    """The last row of that split, if there is one."""
    return next((row for row in reversed(rows) if row["split"] == split), None)


def evaluation_text(result: Row) -> str:
    """The loss and the metrics of an evaluation, as `loss 0.1251  accuracy 0.9898`."""
    values = {name: value for name, value in result.items() if name not in ("step", "split", "examples")}
    return "  ".join(f"{name} {measured(value)}" for name, value in values.items())


def without_images(row: Row) -> Row:
    """The row without its arrays, for what takes only numbers and text."""
    return {name: value for name, value in row.items() if not isinstance(value, np.ndarray)}


class Mirror(Callback):
    """Takes every row once, those of a resumed run from its checkpoint on."""

    every = None

    def __init__(self, taken: int = 0) -> None:
        """`taken`: how many rows there are already that it has taken before."""
        self._taken = taken

    def __call__(self, step: int, state: State, rows: Sequence[Row]) -> None:
        for row in rows[self._taken :]:
            self.write(row)
        self._taken = len(rows)

    def write(self, row: Row) -> None:
        """Take a row."""
        raise NotImplementedError


class MetricsFile(Mirror):
    """Rows as JSON lines, handed to the operating system as they come."""

    def __init__(self, path: Path, taken: int = 0) -> None:
        super().__init__(taken)
        self._file = path.open("a", encoding="utf-8")

    def write(self, row: Row) -> None:
        self._file.write(json.dumps(without_images(row)) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
