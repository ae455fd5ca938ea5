"""What training writes: the session hands everything to each writer, and only the chief has any."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from harness.training.state import State

Row = dict[str, Any]
"""One line of metrics.jsonl: {"step", "split", "loss", "accuracy", …}, or gradient norms under "noise_scale"."""


CALLBACK = "callback"
"""What rows of the user's own callbacks have for `split`; beside numbers they hold texts, and images as arrays."""


def evaluation_text(result: Row) -> str:
    """The loss and the metrics of an evaluation, as `loss 0.1251  accuracy 0.9898`."""
    values = {name: value for name, value in result.items() if name not in ("step", "split", "examples")}
    return "  ".join(
        f"{name} {'not finite' if value is None else format(value, '.4f')}" for name, value in values.items()
    )


def lasting(row: Row) -> Row:
    """A row without its images."""
    return {name: value for name, value in row.items() if not isinstance(value, np.ndarray)}


class Writer:
    """A writer of nothing: each writer overrides what it has use for."""

    def write(self, row: Row) -> None:
        """Take the result of a chunk or of an evaluation."""

    def reached_target(self, step: int) -> None:
        """Take note that the evaluation at `step` reached `train.target`."""

    def histograms(self, step: int, model: keras.Model) -> None:
        """Take the weights of `step`."""

    def maps(self, step: int, model: keras.Model) -> None:
        """Picture what the model of `step` looks at."""

    def called(self, step: int, state: State) -> list[Row]:
        """Call what is to be called at `step`; gives the rows to write."""
        return []

    def save(self, step: int, state: State, header: dict[str, Any]) -> None:
        """Make the state of `step` safe: a resume begins there or later."""

    def close(self) -> None:
        """Nothing more comes."""


class MetricsFile(Writer):
    """Rows as JSON lines, handed to the operating system as they come."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def write(self, row: Row) -> None:
        self._file.write(json.dumps(lasting(row)) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
