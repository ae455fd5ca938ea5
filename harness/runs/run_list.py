"""The runs in a folder, as a table."""

import os
import re
import sys
import textwrap
from datetime import timedelta
from functools import cache
from importlib import resources
from itertools import zip_longest
from pathlib import Path
from time import time
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from harness.config import Config, load
from harness.config.differences import differences, in_yaml
from harness.config.load import shipped
from harness.errors import ConfigError, RunError
from harness.runs.run_dir import RunDir
from harness.runs.run_names import RUNS, SORTED_BY, runs_in

_ROOM = 120
"""Columns of a terminal from which speed and changes have columns of their own; below, changes stand under the run."""
_HEADINGS = ["run", "status", "accuracy", "images/s", "age", "config", "seed", "data"]
_SPEED = _HEADINGS.index("images/s")
_FOLDED = ("run", "config", "data", "changed")
_NUMBERS = ("accuracy", "images/s", "age")
_IN_COLUMNS = ("name", "based_on", "seed", "data.source")


def find_runs(folder: Path, by: str = "age") -> list[dict[str, Any]]:
    """A row for each run in `folder`, the newest last, or sorted by another of SORTED_BY with the largest last.

    A row holds name, path, status, test accuracy, images/s and age in seconds; the config's name, its seed and data
    source; and `changed`, key → value, where the config is not the shipped one it was made from, or not the default.
    What can't be read is None. The status is that of the summary; "interrupted" where that says "running" and no
    process holds the run, "running?" where its lock can't be opened to see. Raises RunError where there is no such
    folder.
    """
    if not os.path.isdir(folder):
        what = f"{folder} is not a folder" if os.path.exists(folder) else f"there is no folder {folder}"
        raise RunError(f"{what}; runs are written to ./runs unless --run-dir says otherwise")
    rows = [_row(RunDir(path)) for path in runs_in(folder)]
    key = SORTED_BY[by]
    if by != "age":
        rows.sort(key=lambda row: (row[key] is not None, row[key] if row[key] is not None else 0))
    return rows


def print_table(rows: list[dict[str, Any]], folder: Path) -> None:
    """Print `rows` of `find_runs`, each under the name by which other commands know it from here.

    Into a pipe or a file go lines with a tab between the columns, which programs can take apart.
    """
    if not rows:
        print(f"no runs in {folder}")
        return
    named = folder.resolve() == RUNS.resolve()
    names = [row["name"] if named else row["path"] for row in rows]
    cells = [_cells(name, row) for name, row in zip(names, rows, strict=True)]
    changes = [[f"{key}={in_yaml(value)}" for key, value in (row["changed"] or {}).items()] for row in rows]
    headings, whole = [*_HEADINGS, "changed"], [[*of, " ".join(each)] for of, each in zip(cells, changes, strict=True)]
    if not sys.stdout.isatty():
        for row in [headings, *whole]:
            print("\t".join(re.sub(r"[\t\n]", " ", cell) for cell in row))
        return
    console = Console(markup=False, emoji=False, force_terminal=True)
    if console.width >= _ROOM:
        console.print(_table(headings, whole, []))
        return
    headings, *cells = [of[:_SPEED] + of[_SPEED + 1 :] for of in (_HEADINGS, *cells)]
    widths = _widths([headings, *cells], console.width)
    console.print(_table(headings, [], widths))
    for of, changed in zip(cells, changes, strict=True):
        console.print(_table(headings, [of], widths, show_header=False))
        for line in _lines(changed, console.width):
            console.print(line, highlight=False)


def _cells(name: str, row: dict[str, Any]) -> list[str]:
    accuracy, speed = row["accuracy"], row["images_per_second"]
    return [
        name,
        row["status"],
        "-" if accuracy is None else f"{accuracy:.4f}",
        "-" if speed is None else f"{speed:,.0f}",
        str(timedelta(seconds=int(row["age_seconds"]))),
        *("-" if row[key] is None else str(row[key]) for key in ("config", "seed", "data")),
    ]


def _table(headings: list[str], rows: list[list[str]], widths: list[int], show_header: bool = True) -> Table:
    table = Table(box=None, pad_edge=False, show_header=show_header)
    for heading, width in zip_longest(headings, widths):
        folds = heading in _FOLDED
        justify: Literal["left", "right"] = "right" if heading in _NUMBERS else "left"
        table.add_column(heading, justify=justify, no_wrap=not folds, overflow="fold", width=width)
    for row in rows:
        table.add_row(*row)
    return table


def _widths(rows: list[list[str]], room: int) -> list[int]:
    """Of columns in which all rows fit into `room`, the longest texts folded."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    folded = [index for index, heading in enumerate(rows[0]) if heading in _FOLDED]
    while sum(widths) + 2 * (len(widths) - 1) > room:
        widest = max(folded, key=widths.__getitem__)
        if widths[widest] <= len("config"):
            break
        widths[widest] -= 1
    return widths


def _lines(changed: list[str], room: int) -> list[str]:
    """The changes below a run, indented, broken between them where they are too long for a line."""
    joined = " ".join(change.replace(" ", "\N{NO-BREAK SPACE}") for change in changed)
    lines = textwrap.wrap(joined, room, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


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
        "config": config and config.origin,
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
    """What differs from the shipped config it was made from, or where there is none from the defaults."""
    usual = (_shipped(config.origin) if config.origin in shipped() else Config()).flat()
    flat = config.flat()
    found = {each.key: each.a for each in differences(flat, usual) if each.key in flat and each.key not in _IN_COLUMNS}
    for key, entries in (("data.augment", config.data.augment), ("callbacks", config.callbacks)):
        if key in found:  # without what is the default of each entry
            found[key] = [entry.model_dump(mode="json", exclude_defaults=True) for entry in entries]
    return found


@cache
def _shipped(name: str) -> Config:
    return load(str(resources.files("harness.configs") / f"{name}.yaml"))
