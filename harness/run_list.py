"""The runs in a folder, as a table."""

import os
import sys
from datetime import timedelta
from functools import cache
from importlib import resources
from pathlib import Path
from time import time
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.config import Config, load
from harness.config.load import shipped
from harness.errors import ConfigError, RunError
from harness.run_dir import RunDir
from harness.run_names import RUNS, SORTED_BY, runs_in

_WIDE = 10_000  # what goes into a pipe or a file is not cut
_ROOM = 120
"""Columns of a terminal from which speed and changes have columns of their own; below, changes stand under the name."""
_IN_COLUMNS = ("name", "seed", "data.source")


def find_runs(folder: Path, by: str = "age") -> list[dict[str, Any]]:
    """A row for each run in `folder`, the newest last, or sorted by another of SORTED_BY with the largest last.

    A row holds name, path, status, test accuracy, images/s and age in seconds; the config's name, its seed and data
    source; and `changed`, key → value, where the config is not the shipped one of its name, or not the default. What
    can't be read is None. The status is that of the summary; "interrupted" where that says "running" and no process
    holds the run, "running?" where its lock can't be opened to see. Raises RunError where there is no such folder.
    """
    if not os.path.isdir(folder):
        raise RunError(f"{folder} is no folder; runs are written to ./runs unless --run-dir says otherwise")
    rows = [_row(RunDir(path)) for path in runs_in(folder)]
    key = SORTED_BY[by]
    if by != "age":
        rows.sort(key=lambda row: (row[key] is not None, row[key] if row[key] is not None else 0))
    return rows


def print_table(rows: list[dict[str, Any]], folder: Path) -> None:
    """Print `rows` of `find_runs`, each under the name by which other commands know it from here."""
    shown = sys.stdout.isatty()
    console = Console(markup=False, emoji=False, force_terminal=shown, width=None if shown else _WIDE)
    if not rows:
        console.print(f"no runs in {folder}")
        return
    named = folder.resolve() == RUNS.resolve()
    names = [row["name"] if named else row["path"] for row in rows]
    is_wide = console.width >= _ROOM
    table = Table(box=None, pad_edge=False)
    table.add_column("run", overflow="fold", max_width=max(map(len, names)))
    table.add_column("status", no_wrap=True)
    for heading in ("accuracy", *(["images/s"] if is_wide else []), "age"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("config", "seed", "data", *(["changed"] if is_wide else [])):
        table.add_column(heading, overflow="fold")
    for name, row in zip(names, rows, strict=True):
        accuracy, speed = row["accuracy"], row["images_per_second"]
        changed = [f"{key}={value}" for key, value in (row["changed"] or {}).items()]
        table.add_row(
            name if is_wide else "\n  ".join([name, *changed]),
            row["status"],
            "-" if accuracy is None else f"{accuracy:.4f}",
            *(["-" if speed is None else f"{speed:,.0f}"] if is_wide else []),
            str(timedelta(seconds=int(row["age_seconds"]))),
            *("-" if row[key] is None else str(row[key]) for key in ("config", "seed", "data")),
            *([" ".join(changed)] if is_wide else []),
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
    config = _config(run)
    return {
        "name": run.path.name,
        "path": str(run.path),
        "status": status,
        "accuracy": test.get("accuracy"),
        "images_per_second": summary.get("images_per_second"),
        "age_seconds": max(0.0, time() - run.config_file.stat().st_mtime),  # the clock may have been set back since
        "config": config and config.name,
        "seed": config and config.seed,
        "data": config and config.data.source,
        "changed": config and _changed(config),
    }


def _config(run: RunDir) -> Config | None:
    try:
        return run.read_config()
    except ConfigError:
        return None


def _changed(config: Config) -> dict[str, Any]:
    """What differs from the shipped config of its name, or where there is none from the defaults."""
    usual = (_shipped(config.name) if config.name in shipped() else Config()).flat()
    return {key: value for key, value in config.flat().items() if key not in _IN_COLUMNS and usual.get(key) != value}


@cache
def _shipped(name: str) -> Config:
    return load(str(resources.files("harness.configs") / f"{name}.yaml"))
