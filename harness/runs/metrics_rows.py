"""metrics.jsonl → its rows, each checked: programs of others may have written to it."""

import json
from pathlib import Path
from typing import Any

from harness.errors import RunError

_MEASURED = {
    "train": ("loss", "accuracy", "learning_rate"),
    "validation": ("loss", "accuracy"),
    "test": ("loss", "accuracy"),
}
"""By split, what every line of metrics.jsonl has beside its step."""


def read(file: Path) -> list[dict[str, Any]]:
    """All rows; a last line torn by a crash is left out. Raises RunError where one is no row."""
    lines = file.read_bytes().splitlines(keepends=True)
    whole = lines if not lines or lines[-1].endswith(b"\n") else lines[:-1]
    return [_row(line, f"{file}:{number}") for number, line in enumerate(whole, 1)]


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise RunError(f"{where}: the line is not a JSON object")
    if not isinstance(row.get("split"), str):
        raise RunError(f"{where}: the line has no split")
    for key in ("step", *_MEASURED.get(row["split"], ())):
        is_not_finite = key == "loss" and row["split"] != "train" and row.get(key, key) is None
        if not isinstance(row.get(key), int | float) and not is_not_finite:
            raise RunError(f"{where}: the line has no number {key}")
    return row
