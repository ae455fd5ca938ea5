"""Where a command may write: new directories, names that TensorFlow takes, and files replaced at once."""

import os
import secrets
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from harness.errors import RunError, UserError
from harness.runs.run_names import RUNS, is_run


def make_new(name: str, parent: Path = RUNS) -> Path:
    """A new directory `<name>-<YYYYmmdd-HHMMSS>`, with a number after it where that is taken.

    It is made as its name is chosen, since other processes may choose one in the same second.
    """
    parent.mkdir(parents=True, exist_ok=True)  # raises where it is a link to nowhere
    while True:
        path = free_path(name, parent)
        with suppress(FileExistsError):
            path.mkdir()
            return path


def free_path(name: str, parent: Path = RUNS) -> Path:
    """As `make_new`, but the path is only chosen: until it is made, another process may take it."""
    first = parent / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    path, number = first, 2
    while path.exists():
        path, number = Path(f"{first}-{number}"), number + 1
    return path


def check_out(out: Path, mark: str) -> None:
    """Raise UserError where `out` can't be the folder for what a command writes. Nothing is left there.

    Args:
        out: may not be there yet.
        mark: the file by which a folder that the command made is known: one with other files alone is left alone.
    """
    check_name(out)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is not a folder: name another with --out")
    if is_run(out):
        raise UserError(f"{out} is a run directory: name another folder with --out")
    if out.exists() and any(out.iterdir()) and not (out / mark).exists():
        raise UserError(f"{out} holds other files: name an empty folder with --out, or one that this command has made")
    check_writable(out, "name another folder with --out")


def check_writable(path: Path, fix: str) -> None:
    """Raise UserError, which ends with the fix, where nothing can be made at `path`. Nothing is left there."""
    try:
        tempfile.TemporaryDirectory(dir=_existing(path), prefix=".harness-").cleanup()
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror}: {fix}") from None


def check_name(path: Path) -> None:
    """Raise UserError where a path is not UTF-8, in which alone TensorFlow takes paths."""
    try:
        os.fsencode(os.path.realpath(path)).decode()
    except UnicodeDecodeError:
        shown = os.fsencode(path).decode(errors="replace")
        raise UserError(f"{shown}: TensorFlow takes only paths in UTF-8, and this one is not: rename it") from None


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.absolute().parents) if parent.exists())


def check_new(path: Path) -> None:
    """Raise UserError where a run can't begin in that directory: one that holds something, or is none."""
    check_name(path)
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is not a directory")
    if path.is_dir() and any(
        not entry.name.startswith(".") and entry.name not in ("summary.json", "logs") for entry in path.iterdir()
    ):
        raise RunError(f"{path} isn't empty: give another --run-dir, or --resume auto to resume a run in it")
    existing = _existing(path)
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise RunError(f"can't write the run directory {path}: {existing} is not a writable directory")


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file at `path` at once and durably: a crash leaves the old file or the new one.

    Where `path` is a link, what it leads to is replaced.
    """
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:  # not by tempfile, whose files ignore the umask
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):  # gone where the interrupt came after the replacement
            temporary.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
