"""`csv:FILE`: a table of paths and labels."""

import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np

from harness.cluster.heartbeat import Heartbeat
from harness.data.files.listing import FILES_AT_A_BEAT, SPLITS, Listing, in_short, numbered
from harness.data.problems import Problems
from harness.errors import DataError

_NEEDED = ("path", "label")
_TOO_MUCH = "\0"
"""The key of fields beyond the columns, which no column can have."""


def listing(source: str) -> Listing:
    """The images of a CSV file with the columns path, label and, if wanted, split (train, validation, test); paths are
    relative to the file's own folder.

    Raises DataError where it can't be read, lacks a column, a label or a split, or names files that aren't there: all
    rows that will not do in one list.
    """
    file = Path(source.removeprefix("csv:"))
    lines, rows = _rows(source, file)
    with_split = "split" in rows[0]
    unlabelled = [line for line, row in zip(lines, rows, strict=True) if not row["label"]]
    unsplit = [(line, row) for line, row in zip(lines, rows, strict=True) if with_split and row["split"] not in SPLITS]
    files: list[tuple[str, int, int]] = []
    missing: list[str] = []
    heartbeat, paths = Heartbeat(), [os.path.join(file.parent, row["path"]) for row in rows]
    for line, row, path in zip(lines, rows, paths, strict=True):
        if (len(files) + len(missing)) % FILES_AT_A_BEAT == 0:
            heartbeat.beat()
        try:
            state = os.stat(path if row["path"] else "")
        except (OSError, ValueError):  # ValueError: a null character in it
            missing.append(f"{row['path'] or 'none'} (line {line:,})")
            continue
        files.append((row["path"], state.st_size, state.st_mtime_ns))
    problems = Problems(source)
    if unlabelled:
        problems.add(f"no label in {_lines(unlabelled)}: fill it in, or leave the row out")
    if unsplit:
        values = Counter(row["split"] for _, row in unsplit)
        found = in_short([f"{value!r} ({count:,})" for value, count in values.items()])
        where = _lines([line for line, _ in unsplit])
        problems.add(f"the column split must hold {', '.join(SPLITS)}, not {found}: see {where}")
    if missing:
        problems.add(
            f"{len(missing):,} of {len(rows):,} paths aren't there: {in_short(missing)}: paths are relative to "
            f"{file.parent}"
        )
    problems.refuse()
    labels, class_names = numbered(_as_numbers([row["label"] for row in rows]))
    splits = np.array([SPLITS.index(row["split"]) for row in rows], np.int8) if with_split else None
    return Listing(source, files, list(paths), paths, labels, class_names, splits)


def _lines(numbers: list[int]) -> str:
    return f"line{'s' if len(numbers) > 1 else ''} {in_short(list(map(str, numbers)))}"


def _rows(source: str, file: Path) -> tuple[list[int], list[dict[str, str]]]:
    """The rows, and the line in which each ends."""
    lines, rows = [], []
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.DictReader(text, restkey=_TOO_MUCH, restval="")
            columns = [name.strip() for name in reader.fieldnames or ()]
            if not set(_NEEDED) <= set(columns):
                raise DataError(
                    f"data.source: {source}: the first line must name the columns path and label (and split, if "
                    f"wanted), not {', '.join(columns) or 'nothing'}"
                )
            if twice := [name for name in (*_NEEDED, "split") if columns.count(name) > 1]:
                raise DataError(f"data.source: {source}: the first line names the column {twice[0]} twice")
            reader.fieldnames = columns
            for row in reader:
                if any(row.get(_TOO_MUCH, ())):  # a comma at the end alone is no harm
                    raise DataError(
                        f"data.source: {source}: line {reader.line_num:,} has more fields than the first one has "
                        "columns: put a text with a comma in quotes"
                    )
                lines.append(reader.line_num)
                rows.append({key: (row[key] or "").strip() for key in columns if key in (*_NEEDED, "split")})
    except OSError as error:
        raise DataError(f"data.source: {source} can't be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise DataError(f"data.source: {source} is not a CSV file in UTF-8") from None
    if not rows:
        raise DataError(f"data.source: {source} names no images")
    return lines, rows


def _as_numbers(labels: list[str]) -> list[int | str]:
    """So that 10 comes after 9, where all labels are numbers; 007 isn't one, which is another label than 7."""
    try:
        numbers = [int(label) for label in labels]
    except ValueError:
        return list(labels)
    return list(numbers) if [str(number) for number in numbers] == labels else list(labels)
