"""A batch-size scaling experiment: a grid of trials, each a fresh process of the ordinary `train`."""

import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from harness.config import dump
from harness.config.scale import Experiment
from harness.console.terminal import Terminal
from harness.data import sources
from harness.data.sources import DataSet
from harness.errors import ConfigError, HarnessError, Stopped
from harness.runs.paths import write_atomically
from harness.scaling.experiment.executors import Executor, Local, Task
from harness.scaling.experiment.experiment_dir import ExperimentDir, coarse, failure_of, stopped_at
from harness.scaling.experiment.measured import outcome_of, throughput_tasks, write_noise_scales, write_throughputs
from harness.scaling.experiment.plan import Setting, expected_trials, next_settings, trials_of_a_batch
from harness.scaling.experiment.progress import ProgressTable
from harness.scaling.tables import trials
from harness.scaling.tables.trials import Trial
from harness.stop_signals import StopSignals
from harness.supervision.launch import HARNESS

_MOST_IDLE_STARTS = 3
"""Of a trial that was stopped by a signal, such as that of a cluster that needs its node back, and got no further."""


def run(
    experiment: Experiment,
    data: DataSet,
    folder: ExperimentDir,
    executor: Executor,
    terminal: Terminal,
    data_changed: bool = False,
) -> dict[str, Any]:
    """Run what is missing of an experiment, then write its tables, plots and page; what scaling.json then holds.

    Args:
        data: the experiment's, from `check`.
        data_changed: stopped trials resume even if their data have changed.

    Raises Stopped after a signal, with everything saved: the same call resumes. DataError where the trials say too
    little for a fit; trials.csv and the trials are kept.
    """
    sweep = Sweep(experiment, data, folder, executor, terminal, data_changed)
    sweep.run()
    from harness.scaling.report import output  # the libraries that fit and draw need not be loaded before

    return output.write(
        folder.trials_file,
        folder.path,
        experiment.scale.seeds.select,
        str(experiment.scale.target),
        dump(experiment),
        [f"{setting.name}: {why}" for setting, why in sweep.failed.items()],
    )


def check(experiment: Experiment) -> DataSet:
    """Refuse what the data can't give; else the data. Raises ConfigError, DataError."""
    data = sources.load(experiment.data)
    train, validation, _ = data.split_for(experiment)
    too_large = [batch for batch in experiment.scale.global_batches if batch > len(train)]
    if too_large:
        raise ConfigError(
            f"scale.global_batches: {too_large[0]:,} is more than the {len(train):,} training rows: leave it out"
        )
    if not len(validation):
        raise ConfigError("scale.target needs validation rows: data.validation must be above 0")
    return data


class Sweep:
    """Runs what an experiment lacks. All state is in the directory, from which a killed experiment resumes."""

    def __init__(
        self,
        experiment: Experiment,
        data: DataSet,
        folder: ExperimentDir,
        executor: Executor,
        terminal: Terminal,
        data_changed: bool,
    ) -> None:
        self._experiment = experiment
        self._folder = folder
        self._executor = executor
        self._terminal = terminal
        self._classes, self._data_sha256 = data.classes, data.sha256
        self._data_changed = data_changed
        self._signals = StopSignals()
        self._idle_starts: Counter[Setting] = Counter()
        self._stopped_at: dict[Setting, int] = {}
        self.failed: dict[Setting, str] = {}
        """Trials that came to no result, and why."""

    def run(self) -> None:
        """Run the trials, then measure the throughput.

        Raises Stopped after a signal, once what ran is saved; HarnessError where all trials failed.
        """
        with self._signals, self._executor:
            done = self._run_trials()
            if not done:
                raise HarnessError(
                    f"no trial gave a result; the first of {len(self.failed)} failures: {self._first_failure()}"
                )
            if wide := coarse(done):
                self._terminal.warning(
                    f"{len(wide)} trials reached the target in an interval of more than 5 % of their steps: evaluate "
                    "more often (scale.evaluate_every)"
                )
            if changes := self._folder.changes_of_data(self._data_sha256):
                self._terminal.warning(
                    f"trials that ran before {self._experiment.data.source} changed: {len(changes)}; their steps to "
                    "target can't be compared with those of the others"
                )
            write_noise_scales(self._folder, done)
            if any(trial.status == "reached" for trial in done):  # else there is no time to target
                with self._executor.for_timing() as executor:
                    self._measure_throughput(executor)

    def _run_trials(self) -> list[Trial]:
        running: dict[str, tuple[Setting, float]] = {}
        done = self._trials()
        if done:
            on = len(self._unfinished(done))
            going_on = f", {on} of which missed the target and resume with the larger budget" if on else ""
            self._terminal.line(f"{len(done)} trials were done before{going_on}")
            self._write(done)
        with ProgressTable(self._terminal, self._experiment, len(done)) as progress:
            while (wanted := self._wanted(done, running)) or running:
                room = self._executor.capacity - len(running)
                self._executor.start([self._task(setting) for setting in wanted[:room]])
                running |= {setting.name: (setting, time.monotonic()) for setting in wanted[:room]}
                progress.show(done, [setting for setting, _ in running.values()], self.failed)
                ended = [running.pop(task.name) for task in self._next_ended(self._executor)]
                done = self._trials()
                for setting, start in ended:
                    self._note_failure(setting, done)
                    progress.print_trial(setting, done, self.failed, time.monotonic() - start)
                self._write(done)
        return done

    def _wanted(self, done: Sequence[Trial], running: dict[str, tuple[Setting, float]]) -> list[Setting]:
        wanted = next_settings(self._experiment, done, self.failed, self._unfinished(done))
        return [setting for setting in wanted if setting.name not in running]

    def _task(self, setting: Setting) -> Task:
        config_file, run = self._folder.config_of(setting), self._folder.run_of(setting)
        write_atomically(config_file, dump(self._experiment.trial(*setting)).encode())
        options = ["--run-dir", str(run.path), "--resume", "auto", "--only-training"]
        options += ["--data-changed"] if self._data_changed else []
        return Task(setting.name, [*HARNESS, "train", str(config_file), *options], self._folder.output_of(setting))

    def _note_failure(self, setting: Setting, done: Sequence[Trial]) -> None:
        if setting in {Setting.of(trial) for trial in done} - self._unfinished(done):
            return
        run = self._folder.run_of(setting)
        step = stopped_at(run)
        if step is not None and step > self._stopped_at.get(setting, 0):
            self._stopped_at[setting] = step
            self._idle_starts[setting] = 0
        self._idle_starts[setting] += 1
        if step is None or self._idle_starts[setting] == _MOST_IDLE_STARTS:
            self.failed[setting] = failure_of(run, self._folder.output_of(setting))

    def _unfinished(self, done: Sequence[Trial]) -> set[Setting]:
        return self._folder.unfinished(done, self._experiment.scale)

    def _first_failure(self) -> str:
        setting, why = next(iter(self.failed.items()))
        return f"{setting.name}: {why}"

    def _trials(self) -> list[Trial]:
        return self._folder.trials(self._classes)

    def _write(self, done: Sequence[Trial]) -> None:
        comments = [f"target: {self._experiment.scale.target}"]
        comments += [f"failed: {setting.name}: {why}" for setting, why in self.failed.items()]
        trials.write(self._folder.trials_file, done, comments)

    def _measure_throughput(self, executor: Executor) -> None:
        waiting = throughput_tasks(self._experiment, self._folder)
        running, measured, count = 0, 0, len(waiting)
        while waiting or running:
            room = executor.capacity - running
            executor.start(waiting[:room])
            running += len(waiting[:room])
            waiting = waiting[room:]
            for task in self._next_ended(executor):
                running -= 1
                measured += 1
                self._terminal.line(f"throughput  {measured} of {count}  {task.name}: {outcome_of(task)}")
        write_throughputs(self._experiment, self._folder)

    def _next_ended(self, executor: Executor) -> list[Task]:
        """The tasks that end next. Raises Stopped after a signal."""
        while True:
            if self._signals.received:
                self._terminal.line("stopping the running trials")
                raise Stopped("stopped; run the same command again to resume", self._signals.received)
            if ended := executor.ended():
                return ended
            time.sleep(executor.seconds_between_looks)


def describe(experiment: Experiment, terminal: Terminal) -> None:
    """Print the grid: batches, rates, and how much there is to train at the most."""
    scale = experiment.scale
    seeds = f"{scale.seeds.select} + {scale.seeds.report} seeds"
    budget = [f"{scale.max_examples:,} examples"] if scale.max_examples else []
    budget += [f"{scale.max_seconds:g} s"] if scale.max_seconds else []
    terminal.line(f"target    {scale.target}, checked every {scale.evaluate_every}, within {' or '.join(budget)}")
    for batch in sorted(scale.global_batches):
        rates = ", ".join(f"{rate:g}" for rate in scale.learning_rate.at(batch))
        terminal.line(f"batch     {batch:>7,}   learning rates {rates}")
    terminal.line(f"trials    {expected_trials(experiment)} on {seeds}, plus more if a grid has to be extended")


def estimate(experiment: Experiment, data: DataSet, terminal: Terminal) -> None:
    """Print how long the experiment takes if every trial uses its whole budget and every grid is extended to its end,
    from the speed of the smallest and the largest batch on this machine."""
    scale = experiment.scale
    smallest, largest = min(scale.global_batches), max(scale.global_batches)
    terminal.line(f"speed     measuring batches {smallest:,} and {largest:,} for the estimate")
    start, slow = _speed(experiment, smallest)
    _, fast = _speed(experiment, largest) if largest > smallest else (start, slow)
    _, validation, _ = data.split_for(experiment)
    seconds = 0.0
    for batch in scale.global_batches:
        share = math.log(batch / smallest) / math.log(largest / smallest) if largest > smallest else 0.0
        seconds += _longest_trial(experiment, batch, start, slow * (fast / slow) ** share, len(validation))
    extensions = scale.max_extend if len(scale.learning_rate.multipliers) > 1 else 0
    seconds *= trials_of_a_batch(experiment, extensions)
    terminal.line(
        f"time      at most about {timedelta(seconds=round(seconds))}, if all trials use up their budget, one "
        "after another on this machine; those that reach the target end earlier"
    )


def _speed(experiment: Experiment, batch: int) -> tuple[float, float]:
    """Seconds from a process's start to its first step, and images per second."""
    one = experiment.model_copy(update={"scale": experiment.scale.model_copy(update={"global_batches": [batch]})})
    with tempfile.TemporaryDirectory() as folder:
        task = throughput_tasks(one, ExperimentDir(Path(folder)))[0]
        with Local() as executor:
            executor.start([task])
            while not executor.ended():
                time.sleep(executor.seconds_between_looks)
        try:
            found = json.loads(task.output.read_bytes())
        except ValueError:
            raise HarnessError(f"the speed can't be measured: {outcome_of(task)}") from None
    return found["first_step"]["seconds"], found["images_per_second"]["median"]


def _longest_trial(experiment: Experiment, batch: int, start: float, speed: float, validation: int) -> float:
    """Seconds of a trial that never reaches the target; evaluating an image takes a third of training on it."""
    scale = experiment.scale
    examples = min(scale.max_examples or math.inf, (scale.max_seconds or math.inf) * speed)
    evaluations = examples / max(batch, int(scale.evaluate_every.amount))
    return start + (examples + evaluations * validation / 3) / speed
