import json
from pathlib import Path
from typing import Any

import numpy as np

from harness.training.callback import Row
from harness.training.rows import MetricsFile, Mirror

ROWS = [
    {"step": 10, "split": "train", "loss": 0.1 + 0.2, "accuracy": np.float64(1 / 3), "learning_rate": 1e-30},
    {"step": 10, "split": "validation", "loss": 2.5, "accuracy": 0.5, "examples": 200},
]


def test_each_row_is_a_line_that_comes_back_exactly(tmp_path: Path) -> None:
    writer = MetricsFile(tmp_path / "metrics.jsonl")
    for row in ROWS:
        writer.write(row)
    writer.close()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == ROWS
    assert list(json.loads(lines[0])) == list(ROWS[0])


def test_a_row_can_be_read_as_soon_as_it_is_written(tmp_path: Path) -> None:
    writer = MetricsFile(tmp_path / "metrics.jsonl")
    for count, row in enumerate(ROWS, 1):
        writer.write(row)
        assert (tmp_path / "metrics.jsonl").read_text().count("\n") == count
    writer.close()


def test_a_later_sitting_appends(tmp_path: Path) -> None:
    for row in ROWS:
        writer = MetricsFile(tmp_path / "metrics.jsonl")
        writer.write(row)
        writer.close()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == ROWS


def test_a_mirror_takes_each_row_once_from_where_it_stands() -> None:
    taken = []

    class Keeps(Mirror):
        def write(self, row: Row) -> None:
            taken.append(row["step"])

    mirror, rows = Keeps(taken=2), [{"step": step} for step in range(3)]
    state: Any = None  # a mirror takes rows alone
    mirror(2, state, rows)
    mirror(2, state, rows)
    mirror(4, state, [*rows, {"step": 3}, {"step": 4}])
    assert taken == [2, 3, 4]
