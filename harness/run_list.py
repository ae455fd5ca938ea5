"""The runs in a folder, as a table."""

import os
import sys
from datetime import timedelta
from pathlib import Path
from time import time
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.errors import RunError
from harness.run_dir import RunDir

_WIDE = 10_000  # what goes into a pipe or a file is not cut


def find_runs(folder: Path) -> list[dict[str, Any]]:
    """Name, path, status, test accuracy, images/s and age in seconds of each run in `folder`, newest last.

    The status is that of the summary; "interrupted" where that says "running" and no process holds the run, "running?"
    where its lock can't be opened to see.

    Raises RunError where there is no such folder.
    """
    if not os.path.isdir(folder):
        raise RunError(f"{folder} is no folder; runs are written to ./runs unless --run-dir says otherwise")
    found = [run for run in map(RunDir, folder.iterdir()) if run.exists()]
    return sorted((_row(run) for run in found), key=lambda row: (-row["age_seconds"], row["name"]))


def print_table(rows: list[dict[str, Any]], folder: Path) -> None:
    """Print `rows` of `find_runs`."""
    console = Console(markup=False, emoji=False, width=None if sys.stdout.isatty() else _WIDE)
    if not rows:
        console.print(f"no runs in {folder}")
        return
    table = Table("name", "status", box=None, pad_edge=False)
    for heading in ("accuracy", "images/s", "age"):
        table.add_column(heading, justify="right")
    for row in rows:
        accuracy, speed = row["accuracy"], row["images_per_second"]
        table.add_row(
            row["name"],
            row["status"],
            "-" if accuracy is None else f"{accuracy:.4f}",
            "-" if speed is None else f"{speed:,.0f}",
            str(timedelta(seconds=int(row["age_seconds"]))),
        )
    console.print(table)


def _row(run: RunDir) -> dict[str, Any]:
    try:
        summary = run.read_summary()
    except RunError:
        summary = {"status": "unreadable"}
    status = summary.get("status", "unreadable")
    if status == "running":
        # A run that was killed left nobody to say so.
        status = {True: "running", False: "interrupted", None: "running?"}[run.is_running()]
    test = summary.get("test")
    test = test if isinstance(test, dict) else {}
    return {
        "name": run.path.name,
        "path": str(run.path),
        "status": status,
        "accuracy": test.get("accuracy"),
        "images_per_second": summary.get("images_per_second"),
        "age_seconds": time() - run.config_file.stat().st_mtime,
    }
