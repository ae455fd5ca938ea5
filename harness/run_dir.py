"""A run's directory: its files, its lock, atomic writes, metrics rows and summary. No TensorFlow here."""

import json
import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import filelock

from harness.config import Config, dump, load
from harness.errors import RunError


class RunDir:
    """The files of one run, whether it exists yet or not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.yaml"
        self.metrics_file = path / "metrics.jsonl"
        self.summary_file = path / "summary.json"
        self.log_file = path / "log.txt"
        self.tensorboard_dir = path / "tensorboard"
        self.checkpoints_dir = path / "checkpoints"
        self.model_file = path / "model.keras"
        self.figures_dir = path / "figures"
        self.report_file = path / "report.html"
        self._lock = filelock.FileLock(path / ".lock")

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """The run at `path`. Raises RunError where there is none."""
        run = cls(Path(path))
        if not run.exists():
            raise RunError(f"{path} is no run directory: it has no config.yaml and summary.json")
        return run

    def create(self, config: Config) -> None:
        """Make and lock the directory, with its config and a summary that says "running". Raises RunError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock()
            self.write_config(config)
            self.write_summary({"status": "running"})
        except OSError as error:
            raise RunError(f"can't write the run directory {self.path}: {error.strerror}") from None

    def exists(self) -> bool:
        return self.config_file.is_file() and self.summary_file.is_file()

    def lock(self) -> None:
        """Hold the run until this process ends, however it ends. Raises RunError where another one holds it."""
        try:
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            raise RunError(f"{self.path} is in use by another running process") from None
        except OSError as error:
            raise RunError(f"can't write the run directory {self.path}: {error.strerror}") from None

    def unlock(self) -> None:
        self._lock.release()

    def read_config(self) -> Config:
        return load(self.config_file)

    def write_config(self, config: Config) -> None:
        write_atomically(self.config_file, dump(config).encode())

    def read_summary(self) -> dict[str, Any]:
        try:
            summary = json.loads(self.summary_file.read_bytes())
        except (OSError, ValueError):
            raise RunError(f"{self.summary_file} can't be read as JSON") from None
        if not isinstance(summary, dict):
            raise RunError(f"{self.summary_file} holds no summary")
        return summary

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_atomically(self.summary_file, json.dumps(summary, indent=2).encode() + b"\n")

    def update_summary(self, **values: Any) -> None:
        """Replace some of the summary's keys."""
        self.write_summary(self.read_summary() | values)

    def read_metrics(self) -> list[dict[str, Any]]:
        """All rows of metrics.jsonl; a last line torn by a crash is left out."""
        if not self.metrics_file.exists():
            return []
        lines = self.metrics_file.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def rewind_metrics(self, step: int) -> None:
        """Drop the rows that come behind the checkpoint of `step`, those of the test among them."""
        rows = self.read_metrics()
        kept = [json.dumps(row) + "\n" for row in rows if row["step"] <= step and row["split"] != "test"]
        write_atomically(self.metrics_file, "".join(kept).encode())


def new_path(name: str, parent: Path = Path("runs")) -> Path:
    """`runs/<name>-<YYYYmmdd-HHMMSS>`, with a number behind it where that is taken."""
    path = parent / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    number = 2
    while path.exists():
        path = path.with_name(f"{path.name.split('_')[0]}_{number}")
        number += 1
    return path


def check_new(path: Path) -> None:
    """Raise RunError where no new run can be made at `path`; nothing is created."""
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is no directory")
    if path.is_dir() and any(path.iterdir()):
        raise RunError(f"{path} isn't empty: give another --run-dir, or --resume auto to go on with the run in it")
    existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise RunError(f"can't write the run directory {path}: {existing} is not a writable directory")


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file at `path` at once and durably: a crash leaves the old file or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
