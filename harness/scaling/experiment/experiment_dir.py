"""An experiment's directory: its config, its trials and what has come of them. No TensorFlow here."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from harness.config import Config, dump
from harness.config.differences import as_changes, differences
from harness.config.load import load_as
from harness.config.scale import Experiment, ScaleSection
from harness.errors import RunError, UserError
from harness.runs.paths import write_atomically
from harness.runs.run_dir import RunDir
from harness.scaling.experiment.plan import Setting
from harness.scaling.tables.trials import Status, Trial

_GUESSING = 0.99
"""A loss above this share of ln(classes) is that of a model that has learnt nothing, or lost it."""
_WORSE = 1.01
"""And it has lost it where the loss is by this factor above the lowest one before."""


class ExperimentDir:
    """The files of one experiment, whether it exists yet or not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "experiment.yaml"
        self.trials_dir = path / "trials"
        self.trials_file = path / "trials.csv"
        self.throughput_file = path / "throughput.csv"
        self.noise_file = path / "noise_scale.csv"
        self.report_file = path / "report.html"
        self._lock = filelock.FileLock(path / ".lock")

    def check(self, experiment: Experiment) -> None:
        """Raise RunError where the path holds something else than this experiment, with other batches at the most."""
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path} is not a directory")
        if not self.config_file.is_file():
            if self.path.is_dir() and any(not entry.name.startswith(".") for entry in self.path.iterdir()):
                raise RunError(f"{self.path} is not empty and holds no experiment: give another --dir")
            return
        then, now = (_decisive(each) for each in (load_as(Experiment, self.config_file), experiment))
        if different := differences(then, now):
            raise RunError(
                f"{self.path} holds an experiment with another config: {as_changes(different)}; give another --dir for "
                "this one"
            )

    def changes_of_data(self, sha256: str) -> list[str]:
        """Of each trial that was trained on other data than those of that digest, that it was."""
        changes = []
        for run in self._runs():
            with suppress(UserError):  # a damaged one is reported when the experiment is resumed
                changes.append(run.change_of_data(sha256))
        return list(filter(None, changes))

    def check_same_data(self, sha256: str) -> None:
        """Raise RunError if the data, whose digest is now `sha256`, have changed since a trial was trained on them."""
        for change in self.changes_of_data(sha256):
            raise RunError(f"{change}: restore it, give another --dir, or accept the new data with --data-changed")

    @contextmanager
    def held(self, experiment: Experiment) -> Iterator[None]:
        """Keep others out of the directory, and the config in it. Raises RunError where that can't be."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            write_atomically(self.config_file, dump(experiment).encode())  # first: this makes it an experiment
            self.trials_dir.mkdir(exist_ok=True)
        except filelock.Timeout:
            raise RunError(f"{self.path} is in use by another running process") from None
        except OSError as error:
            raise RunError(f"can't write {self.path}: {error.strerror}") from None
        try:
            yield
        finally:
            self._lock.release()

    def run_of(self, setting: Setting) -> RunDir:
        return RunDir(self.trials_dir / setting.name)

    def config_of(self, setting: Setting) -> Path:
        return self.trials_dir / f"{setting.name}.yaml"

    def output_of(self, setting: Setting) -> Path:
        return self.trials_dir / f"{setting.name}.txt"

    def trials(self, classes: int) -> list[Trial]:
        """Every trial that has come to its end; one whose files are damaged has not."""
        found = []
        for run in self._runs():
            with suppress(UserError):
                found.append(trial_of(run, classes))
        return sorted(filter(None, found), key=Setting.of)

    def _runs(self) -> list[RunDir]:
        folders = (
            sorted(path for path in self.trials_dir.iterdir() if path.is_dir()) if self.trials_dir.is_dir() else []
        )
        return list(filter(RunDir.exists, map(RunDir, folders)))

    def unfinished(self, done: Sequence[Trial], scale: ScaleSection) -> set[Setting]:
        """Those that were missed within less than the budget of `scale`, and so can be resumed."""
        missed = [Setting.of(trial) for trial in done if trial.status == "missed"]
        return {setting for setting in missed if _may_resume(self.run_of(setting), scale)}


def trial_of(run: RunDir, classes: int) -> Trial | None:
    """What a trial has come to; None where it is not at its end, or failed by more than its learning rate.

    Diverged is one whose loss was not finite, or ends no better than that of guessing among `classes` after it was
    lower. Raises UserError where the run's files are damaged.
    """
    config, summary = run.read_config(), run.read_summary()
    diverged = str(summary.get("failure", "")).startswith("NonFiniteLoss")
    if summary["status"] != "completed" and not diverged:
        return None
    evaluations = [row for row in run.read_metrics() if row["split"] == "validation"]
    if not (evaluations or diverged):
        raise RunError(f"{run.metrics_file} holds no evaluation")
    reached, high = summary.get("ended_by") == "target", None
    *_, before, low = 0, 0, *(row["step"] for row in evaluations)
    if reached:
        low, high = before, low
    elif not diverged:
        finite = [row["loss"] for row in evaluations if row["loss"] is not None]
        last = evaluations[-1]["loss"]
        diverged = last is None or last > max(_GUESSING * math.log(classes), _WORSE * min(finite))
    status: Status = "reached" if reached else "diverged" if diverged else "missed"
    return Trial(config.train.global_batch, config.optimizer.learning_rate, config.seed, low, high, status)


def _may_resume(run: RunDir, scale: ScaleSection) -> bool:
    train, summary = run.read_config().train, run.read_summary()
    most_examples, most_seconds = scale.max_examples or math.inf, scale.max_seconds or math.inf
    if summary["ended_by"] == "max_seconds":
        return (train.max_seconds or math.inf) < most_seconds and summary["examples"] < most_examples
    return train.length.amount < most_examples


def stopped_at(run: RunDir) -> int | None:
    """The step at which a trial ended with a signal, its state saved; None where it did not."""
    with suppress(UserError):
        summary = run.read_summary()
        return summary["steps"] if summary["status"] == "stopped" else None
    return None


def failure_of(run: RunDir, output: Path) -> str:
    """Why a trial came to no result, in one line: as it says itself, or the last thing that it printed."""
    if run.exists():
        try:
            run.read_config()
            run.read_metrics()
            summary = run.read_summary()
        except UserError as error:
            return f"{error}: delete {run.path} to run it again"
        if "failure" in summary:
            return str(summary["failure"])
    lines = output.read_text(errors="replace").split("\n") if output.exists() else []
    said = [line for line in lines if line.strip()]
    return said[-1].strip() if said else "it printed nothing"


def coarse(trials: Sequence[Trial], share: float = 0.05) -> list[Trial]:
    """The trials that reached the target in an interval wider than that share of the result."""
    return [t for t in trials if t.steps_high is not None and t.steps_high - t.steps_low > max(1, share * t.steps_high)]


def _decisive(experiment: Experiment) -> dict[str, object]:
    """What the trials of an experiment have in common: batches, rates, seeds and budget may be added to."""
    free = {"name", "cluster", "checkpoint", "tensorboard", "insight", "train.length", "train.max_seconds"}
    common: Config = experiment.trial(global_batch=2, learning_rate=1.0, seed=experiment.seed)
    return {key: value for key, value in common.common().items() if not {key, key.partition(".")[0]} & free}
