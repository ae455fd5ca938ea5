"""An experiment's directory: its config, its trials and what has come of them. No TensorFlow here."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import filelock

from harness.config import Config, dump
from harness.config.load import load_as
from harness.config.scale import Experiment
from harness.errors import RunError
from harness.run_dir import RunDir, write_atomically
from harness.scaling.plan import Setting
from harness.scaling.trials import Status, Trial

_GUESSING = 0.99
"""A loss above this share of ln(classes) is that of a model that has learnt nothing, or lost it."""


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
            raise RunError(f"{self.path} is no directory")
        if not self.config_file.is_file():
            if self.path.is_dir() and any(not entry.name.startswith(".") for entry in self.path.iterdir()):
                raise RunError(f"{self.path} isn't empty, and holds no experiment: give another --dir")
            return
        then, now = (_decisive(each) for each in (load_as(Experiment, self.config_file), experiment))
        different = [key for key in {**then, **now} if then.get(key) != now.get(key)]
        if different:
            changes = ", ".join(f"{key} ({then.get(key)} → {now.get(key)})" for key in different)
            raise RunError(
                f"{self.path} holds an experiment of another config: {changes}; give another --dir for this one"
            )

    @contextmanager
    def held(self, experiment: Experiment) -> Iterator[None]:
        """Keep others out of the directory, and the config in it. Raises RunError where that can't be."""
        try:
            self.trials_dir.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            write_atomically(self.config_file, dump(experiment).encode())
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

    def results(self, classes: int) -> list[Trial]:
        """Of every trial that has come to its end."""
        runs = sorted(path for path in self.trials_dir.iterdir() if path.is_dir())
        found = [result_of(run, classes) for path in runs if (run := RunDir(path)).exists()]
        return sorted(filter(None, found), key=lambda trial: (trial.global_batch, trial.learning_rate, trial.seed))


def result_of(run: RunDir, classes: int) -> Trial | None:
    """What a trial has come to; None where it is not at its end, or failed by more than its learning rate.

    Diverged is one whose loss was not finite, or at its end no better than that of guessing among `classes`.
    """
    config, summary = run.read_config(), run.read_summary()
    diverged = str(summary.get("failure", "")).startswith("NonFiniteLoss")
    if summary["status"] != "completed" and not diverged:
        return None
    evaluations = [row for row in run.read_metrics() if row["split"] == "validation"]
    reached, high = summary.get("ended_by") == "target", None
    low = summary.get("steps", 0)
    if reached:
        *_, low, high = 0, *(row["step"] for row in evaluations)
    elif not diverged:
        diverged = evaluations[-1]["loss"] > _GUESSING * math.log(classes)
    status: Status = "reached" if reached else "diverged" if diverged else "missed"
    return Trial(config.train.global_batch, config.optimizer.learning_rate, config.seed, low, high, status)


def failure_of(run: RunDir, output: Path) -> str:
    """Why a trial came to no result, in one line: as it says itself, or the last thing that it printed."""
    summary = run.read_summary() if run.exists() else {}
    if "failure" in summary:
        return str(summary["failure"])
    lines = output.read_text(errors="replace").split("\n") if output.exists() else []
    said = [line for line in lines if line.strip()]
    return said[-1].strip() if said else "it said nothing"


def coarse(trials: Sequence[Trial], share: float = 0.05) -> list[Trial]:
    """The trials that reached the target in an interval wider than that share of the result."""
    return [t for t in trials if t.steps_high is not None and t.steps_high - t.steps_low > max(1, share * t.steps_high)]


def _decisive(experiment: Experiment) -> dict[str, object]:
    """What the trials of an experiment have in common: batches, rates and seeds may be added to."""
    free = {"name", "seed", "cluster", "checkpoint", "tensorboard", "insight"}
    common: Config = experiment.trial(global_batch=2, learning_rate=1.0, seed=0)
    return {key: value for key, value in common.common().items() if key.partition(".")[0] not in free}
