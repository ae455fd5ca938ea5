"""`csv:FILE`: a table of paths and labels."""

import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np

from harness.cluster.heartbeat import Heartbeat
from harness.data.files.listing import FILES_AT_A_BEAT, SPLITS, Listing, in_short, numbered
from harness.errors import DataError

_NEEDED = ("path", "label")


def listing(source: str) -> Listing:
    """The images of a CSV file with the columns path, label and, if wanted, split (train, validation, test); paths are
    relative to the file's own folder.

    Raises DataError where it can't be read, lacks a column, a label or a split, or names files that aren't there.
    """
    file = Path(source.removeprefix("csv:"))
    rows = _rows(source, file)
    lines = range(2, len(rows) + 2)
    if unlabelled := [str(line) for line, row in zip(lines, rows, strict=True) if not row["label"]]:
        where = f"lines {in_short(unlabelled)}" if len(unlabelled) > 1 else f"line {unlabelled[0]}"
        raise DataError(f"data.source: {source}: no label in {where}: fill it in, or leave the row out")
    with_split = "split" in rows[0]
    if with_split and (wrong := [row["split"] for row in rows if row["split"] not in SPLITS]):
        told = in_short([f"{value!r} ({count:,})" for value, count in Counter(wrong).items()])
        raise DataError(f"data.source: {source}: the column split must hold {', '.join(SPLITS)}, not {told}")
    paths = [os.path.join(file.parent, row["path"]) for row in rows]
    files, missing, heartbeat = [], [], Heartbeat()
    for number, (path, row) in enumerate(zip(paths, rows, strict=True), 1):
        if number % FILES_AT_A_BEAT == 0:
            heartbeat.beat()
        try:
            state = os.stat(path)
        except OSError:
            missing.append(row["path"] or "''")
            continue
        files.append((row["path"], state.st_size, state.st_mtime_ns))
    if missing:
        raise DataError(
            f"data.source: {source}: {len(missing):,} of {len(rows):,} paths aren't there: {in_short(missing)}: they "
            f"count from {file.parent}"
        )
    labels, class_names = numbered(_as_numbers([row["label"] for row in rows]))
    splits = np.array([SPLITS.index(row["split"]) for row in rows], np.int8) if with_split else None
    return Listing(source, files, list(paths), paths, labels, class_names, splits)


def _rows(source: str, file: Path) -> list[dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.DictReader(text, restval="")
            columns = [name.strip() for name in reader.fieldnames or ()]
            if not set(_NEEDED) <= set(columns):
                raise DataError(
                    f"data.source: {source}: the first line must name the columns path and label (and split, if "
                    f"wanted), not {', '.join(columns) or 'nothing'}"
                )
            reader.fieldnames = columns
            rows = [{key: (row[key] or "").strip() for key in columns if key in (*_NEEDED, "split")} for row in reader]
    except OSError as error:
        raise DataError(f"data.source: {source} can't be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise DataError(f"data.source: {source} is not a CSV file in UTF-8") from None
    if not rows:
        raise DataError(f"data.source: {source} names no images")
    return rows


def _as_numbers(labels: list[str]) -> list[int | str]:
    """So that 10 comes after 9, where all labels are numbers; 007 isn't one, which is another label than 7."""
    try:
        numbers = [int(label) for label in labels]
    except ValueError:
        return list(labels)
    return list(numbers) if [str(number) for number in numbers] == labels else list(labels)
