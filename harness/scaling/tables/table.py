"""CSV tables with comment lines, columns in any order and further columns; a mistake in one is a single line."""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.runs.paths import write_atomically

Row = dict[str, Any]
Parser = Callable[[str], Any]
"""The value of a cell's text; raises ValueError that says what it should be."""


def read(
    path: str | Path,
    columns: Mapping[str, Parser],
    key: Sequence[str],
    check: Callable[[Row], str | None] = lambda row: None,
) -> list[Row]:
    """The rows of a CSV file with a header line; lines that begin with '#' and empty ones are passed over.

    Args:
        columns: the columns it must have, each with its parser; others are left out of the rows.
        key: the columns in which no two rows may agree.
        check: given a row, says what is wrong with it, or None.

    Raises DataError, with the line where there is one, for a file that can't be read or holds anything wrong.
    """
    lines = _lines(path)
    numbers = [number for number, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]
    if not numbers:
        raise DataError(f"{path} is empty: it needs a header line with the columns {', '.join(columns)}")
    try:
        header, *table = csv.reader([lines[number - 1] for number in numbers], strict=True)
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV table: {error}") from None
    header = [name.strip() for name in header]
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}: its columns are {', '.join(header)}")
    twice = [name for name in columns if header.count(name) > 1]
    if twice:
        raise DataError(f"{path} has the column {twice[0]} twice")
    if not table:
        raise DataError(f"{path} has a header line and no rows")
    rows: list[Row] = []
    first: dict[tuple[Any, ...], int] = {}
    for number, cells in zip(numbers[1:], table, strict=False):  # fewer rows than lines where a cell has a line break
        if len(cells) != len(header):
            raise DataError(f"{path}:{number} has {len(cells)} values for {len(header)} columns")
        row = {name: _value(path, number, name, cells[header.index(name)], columns[name]) for name in columns}
        wrong = check(row)
        if wrong is not None:
            raise DataError(f"{path}:{number}: {wrong}")
        identity = tuple(row[name] for name in key)
        if identity in first:
            raise DataError(f"{path}:{number} has the same {', '.join(key)} as line {first[identity]}: keep one")
        first[identity] = number
        rows.append(row)
    return rows


def write(path: str | Path, rows: Sequence[Row], columns: Sequence[str], comments: Sequence[str] = ()) -> None:
    """Replace the file at `path` at once by `rows`; None becomes an empty cell. Raises OSError."""
    text = io.StringIO(newline="")
    for line in (line for comment in comments for line in comment.splitlines()):
        text.write(f"# {line}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([row[name] for name in columns] for row in rows)
    write_atomically(Path(path), text.getvalue().encode())


_LARGEST = 10**15


def whole(least: int) -> Parser:
    """Integers from `least` to 10¹⁵; also as `120.0`, which programs write where a column has gaps."""

    def parse(text: str) -> int:
        value = _finite(text)
        if not value.is_integer() or value < least:
            raise ValueError(f"must be a whole number, at least {least}")
        if value > _LARGEST:
            raise ValueError(f"must be at most {_LARGEST:,}")
        return int(text) if text.isdecimal() else int(value)

    return parse


def positive(text: str) -> float:
    """A finite number above 0."""
    value = _finite(text)
    if value <= 0:
        raise ValueError("must be above 0")
    return value


def not_negative(text: str) -> float:
    """A finite number from 0 on."""
    value = _finite(text)
    if value < 0:
        raise ValueError("must be at least 0")
    return value


def optional(parser: Parser) -> Parser:
    """None for an empty cell, or for what programs write in its place."""
    return lambda text: None if text.lower() in ("", "nan", "none", "null") else parser(text)


def one_of(names: Sequence[str]) -> Parser:
    """One of these names as it is."""

    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return text

    return parse


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("is not a number") from None
    if not math.isfinite(value):
        raise ValueError("is not a finite number")
    return value


def _lines(path: str | Path) -> list[str]:
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a text file: give a CSV table") from None
    if "\0" in text:
        raise DataError(f"{path} is not a text file: give a CSV table")
    return text.splitlines()


def _value(path: str | Path, number: int, name: str, text: str, parser: Parser) -> Any:
    try:
        return parser(text.strip())
    except ValueError as error:
        raise DataError(f"{path}:{number}: {name} {text.strip()[:40]!r} {error}") from None
