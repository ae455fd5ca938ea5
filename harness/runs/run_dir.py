"""A run's directory: its files, its lock, atomic writes, metrics rows and summary. No TensorFlow here."""

import json
import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import filelock

from harness.config import Config, dump, load
from harness.config.differences import as_changes, differences
from harness.errors import RunError
from harness.runs import metrics_rows
from harness.runs.paths import check_name, check_new, check_writable, free_path, make_new, write_atomically
from harness.runs.run_names import find, is_run

_ENDS = ("length", "target", "early_stop", "max_seconds")
"""The keys of `train` that say when it ends."""

LAUNCHED = "HARNESS_LAUNCHED"
"""Names the options of the `harness launch` that started this process; scripts/harness sets HARNESS_COMMAND, to how it
was called."""


class RunDir:
    """The files of one run, whether it exists yet or not.

        run = harness.RunDir.open("latest")  # or a path, a name, the beginning of one
        run.read_summary()["test"]["accuracy"]
        [row["loss"] for row in run.read_metrics() if row["split"] == "train"]
        keras.saving.load_model(run.model_file)  # pixels (0 to 255) in, probabilities out

    What each file holds: docs/run-directory.md.
    """

    def __init__(self, path: str | Path, new_name: str | None = None) -> None:
        """`new_name`: of a run that is to have its own directory below `runs`; `path` is what it would be by now."""
        self._new_name = new_name
        self._set_path(Path(path))

    def _set_path(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.yaml"
        self.metrics_file = path / "metrics.jsonl"
        self.summary_file = path / "summary.json"
        self.log_file = path / "log.txt"
        self.tensorboard_dir = path / "tensorboard"
        self.checkpoints_dir = path / "checkpoints"
        self.trackers_file = path / "trackers.json"
        self.model_file = path / "model.keras"
        self.classes_file = path / "classes.json"
        self.figures_dir = path / "figures"
        self.insight_file = path / "insight.json"
        self.report_file = path / "report.html"
        self.logs_dir = path / "logs"
        self._lock = filelock.FileLock(path / ".lock")

    def __repr__(self) -> str:
        return f"RunDir({str(self.path)!r})"

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """The run called `path`: its path, or one of the names that `run_names.find` knows. Raises RunError."""
        if not isinstance(path, str | os.PathLike):
            raise RunError(f"a run is named by its path, its name or the beginning of it, not {type(path).__name__}")
        check_name(Path(path))
        return cls(find(path))

    def begin(self, config: Config, data_sha256: str = "") -> None:
        """Write the config and a summary that says "running", which make the directory a run. Raises RunError."""
        try:
            self.report_file.unlink(missing_ok=True)  # of the time before a resume: a report means completed
            self.write_summary({"status": "running"} | ({"data_sha256": data_sha256} if data_sha256 else {}))
            write_atomically(self.config_file, dump(config).encode())  # last: this makes it a run
        except OSError as error:
            raise RunError(f"can't write the run directory {self.path}: {error.strerror}") from None

    def exists(self) -> bool:
        return is_run(self.path)

    def lock(self) -> None:
        """Make the directory where there is none, and hold it until `unlock` or this process ends, however it ends.

        Raises RunError where another process holds it or it can't be written.
        """
        try:
            if self._new_name is not None:
                self._set_path(make_new(self._new_name))
                self._new_name = None
            self.path.mkdir(parents=True, exist_ok=True)
            check_writable(self.path, "make the directory writable")
            self._lock.acquire(timeout=2)  # `harness runs` holds it for a moment to see whether we do
        except filelock.Timeout:
            raise RunError(f"{self.path} is in use by another running process") from None
        except OSError as error:
            raise RunError(f"can't write the run directory {self.path}: {error.strerror}") from None

    def unlock(self) -> None:
        self._lock.release()

    def check_same(self, config: Config, epoch_examples: int | None = None) -> None:
        """Raise RunError, naming the keys, where `config` would train other weights than this run's own.

        It may be longer: the learning rate is then planned anew from the newest checkpoint on. Where `epoch_examples`,
        the number of training rows, isn't known yet, epochs count as no shorter than anything in another unit.
        """
        own = self.read_config()
        is_no_shorter = _is_no_shorter(config, own, epoch_examples)
        now = config.with_length(own.train.length) if is_no_shorter else config
        if different := differences(own.identity(), now.identity()):
            changes = as_changes(different)
            if [each.key for each in different] == ["train.length"]:
                trained = self.read_summary().get("steps")
                so_far = f", and has trained {trained:,} steps" if isinstance(trained, int) else ""
                raise RunError(
                    f"{self.path} can only be made longer{so_far}: {changes} is shorter; give a longer length, or "
                    "start a new run"
                )
            raise RunError(f"can't resume {self.path} with another config: {changes}; start a new run for that")

    def change_of_data(self, sha256: str, source: str | None = None) -> str | None:
        """That the data of the run's config, now with that digest, have changed since it was trained, if they have; or
        that those of another `source` are others.

        None too where the run doesn't know what they were, as one of version 0.1.0.
        """
        if self.read_summary().get("data_sha256") in (None, "", sha256):
            return None
        own = self.read_config().data.source
        if source not in (None, own):
            return f"{self.path}: these are other data than those it was trained on, {own}"
        return f"{self.path}: the content of {own} has changed since this run trained on it"

    def check_same_data(self, sha256: str) -> None:
        """Raise RunError where the data have changed since the run trained on them."""
        if change := self.change_of_data(sha256):
            raise RunError(f"{change}: restore it, start a new run, or accept the new data with --data-changed")

    def check_same_classes(self, names: Sequence[str], source: str | None = None) -> None:
        """Raise RunError where the classes of the run's data, or of those of another `source`, are not those that it
        was trained to tell apart."""
        own = self.read_class_names()
        if own and tuple(names) != own:
            trained, own_source = f"{self.path} was trained on {_classes(own)}", self.read_config().data.source
            if source not in (None, own_source):
                raise RunError(f"{trained}, and these data have {_classes(names)}")
            raise RunError(
                f"{trained}, and {own_source} now has {_classes(names)}: restore those classes, or start a new run"
            )

    def is_complete(self, config: Config, with_report: bool = True) -> bool:
        """Whether `config` asks for nothing that this run has not done, up to the model or the report."""
        own = self.read_config().train
        same_end = all(getattr(own, key) == getattr(config.train, key) for key in _ENDS)
        is_whole = self.model_file.is_file() and (self.report_file.exists() or not with_report)
        return same_end and is_whole and self.read_summary().get("status") == "completed"

    def is_running(self) -> bool | None:
        """Whether a live process holds the run; None where that can't be seen."""
        if not Path(self._lock.lock_file).exists():
            return False
        try:
            with self._lock.acquire(blocking=False):
                return False
        except filelock.Timeout:
            return True
        except OSError:  # another user's, or on a disk that is read-only
            return None

    def with_model(self) -> Self:
        """This run, if it has a trained model. Raises RunError, saying how it comes by one, where it has none."""
        status = self.read_summary().get("status")
        if status == "completed" and self.model_file.is_file():
            return self
        if status == "running" and (is_running := self.is_running()) is not False:
            step = max((row["step"] for row in self.read_metrics()), default=0)
            if is_running is None:
                raise RunError(
                    f"{self.path} has no trained model; whether it is still training (step {step:,}) can't be seen, "
                    "as its lock can't be opened"
                )
            raise RunError(f"{self.path} is still training (step {step:,}): try again when it has finished")
        raise RunError(f"{self.path} has no trained model yet; resume with: {self.resume_command()}")

    def resume_command(self) -> str:
        command, path = os.environ.get("HARNESS_COMMAND", "harness"), str(self.path.resolve())
        if LAUNCHED in os.environ:
            train = ["train", str(self.config_file.resolve()), "--resume", path]
            return shlex.join([command, "launch", *shlex.split(os.environ[LAUNCHED]), "--", *train])
        return shlex.join([command, "resume", path])

    def read_config(self) -> Config:
        """What it trains by. Raises ConfigError where config.yaml can't be read."""
        return load(self.config_file)

    def read_summary(self) -> dict[str, Any]:
        """What summary.json holds. Raises RunError where it can't be read."""
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

    def write_class_names(self, names: Sequence[str]) -> None:
        """Keep what the classes are called, for when their data are elsewhere; nothing where they have no names."""
        if names:
            write_atomically(self.classes_file, json.dumps(list(names), indent=2).encode() + b"\n")

    def read_class_names(self) -> tuple[str, ...]:
        """What the classes are called, by number; none where they have no names. Raises RunError."""
        try:
            names = json.loads(self.classes_file.read_bytes()) if self.classes_file.exists() else []
        except (OSError, ValueError):
            names = None
        if not isinstance(names, list):
            raise RunError(f"{self.classes_file} can't be read as a JSON list of names")
        return tuple(map(str, names))

    def read_metrics(self) -> list[dict[str, Any]]:
        """All rows of metrics.jsonl; a last line torn by a crash is left out. Raises RunError where one is no row."""
        return metrics_rows.read(self.metrics_file) if self.metrics_file.exists() else []

    def rewind_metrics(self, step: int) -> None:
        """Drop the rows that come after the checkpoint of `step`, those of the test among them."""
        rows = self.read_metrics()
        kept = [json.dumps(row) + "\n" for row in rows if row["step"] <= step and row["split"] != "test"]
        write_atomically(self.metrics_file, "".join(kept).encode())


def _is_no_shorter(config: Config, own: Config, epoch_examples: int | None) -> bool:
    new, old = config.train.length, own.train.length
    if new.unit == old.unit:
        return new.amount >= old.amount
    if epoch_examples is None and "epochs" in (new.unit, old.unit):
        return True
    new_examples, old_examples = (length.examples(epoch_examples or 0, own.train.global_batch) for length in (new, old))
    return new_examples >= old_examples


def _classes(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    if not names:
        return "classes without names"
    return f"{len(names):,} class{'es' if len(names) > 1 else ''} ({shown}{', …' if len(names) > 10 else ''})"


def find_run(config: Config, run_dir: str | Path | None, resume: str | Path | None) -> RunDir:
    """The directory that `config` is to be trained in: a new one, or that of a run of the same config to resume.

    Takes and raises what `locate` does, and RunError for a run of another config. Nothing is created.
    """
    run = locate(config.name, run_dir, resume)
    if run.exists():
        run.check_same(config)
    return run


def locate(name: str, run_dir: str | Path | None, resume: str | Path | None) -> RunDir:
    """The directory that the options mean: a new one, or that of a run to resume. Nothing is created.

    Args:
        name: begins the name of a new run's directory under `runs/`.
        run_dir: the directory to use instead.
        resume: a run to resume, or "auto" for the one in `run_dir` if there is one there.

    Raises RunError where the options contradict each other, there is no run at `resume`, or the place for a new run
    is taken or can't be written.
    """
    if resume is not None and str(resume) != "auto":
        if run_dir is not None and not _is_called(Path(run_dir), resume):
            raise RunError(f"--resume {resume} and --run-dir {run_dir} name two directories: give one")
        return RunDir.open(resume)
    if resume is not None and run_dir is None:
        raise RunError("--resume auto needs --run-dir: the directory to start or resume in")
    run = RunDir(Path(run_dir)) if run_dir is not None else RunDir(free_path(name), new_name=name)
    if not (resume and run.exists()):
        check_new(run.path)
    return run


def _is_called(path: Path, name: str | Path) -> bool:
    if path.resolve() == Path(name).resolve():
        return True
    with suppress(RunError):
        return path.resolve() == find(name).resolve()
    return False
