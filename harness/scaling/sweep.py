"""A batch-size scaling experiment: a grid of trials, each a fresh process of the ordinary `train`."""

import json
import math
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from harness.config import dump
from harness.config.scale import Experiment
from harness.data import sources
from harness.errors import ConfigError, HarnessError, Stopped
from harness.launch import HARNESS
from harness.run_dir import write_atomically
from harness.scaling import noise, throughput, trials
from harness.scaling.executors import Executor, Task
from harness.scaling.experiment_dir import ExperimentDir, coarse, failure_of
from harness.scaling.plan import Setting, expected_trials, next_settings
from harness.scaling.progress import ProgressTable
from harness.scaling.trials import Trial
from harness.terminal import Terminal
from harness.training.stop import StopSignals

_MOST_STARTS = 3
"""Of a trial that was stopped by a signal, such as that of a cluster that needs its node back."""


def run(experiment: Experiment, folder: ExperimentDir, executor: Executor, terminal: Terminal) -> dict[str, Any]:
    """Run what is missing of an experiment, then write its tables, plots and page; what scaling.json then holds.

    Raises Stopped after a signal, with everything saved: the same call goes on. DataError where the trials say too
    little for a fit; trials.csv and the trials are kept.
    """
    sweep = Sweep(experiment, folder, executor, terminal)
    sweep.run()
    from harness.scaling import report  # the libraries that fit and draw need not be loaded before

    return report.write(
        folder.trials_file,
        folder.path,
        experiment.scale.seeds.select,
        str(experiment.scale.target),
        dump(experiment),
        [f"{setting.name}: {why}" for setting, why in sweep.failed.items()],
    )


def check(experiment: Experiment) -> int:
    """Refuse what the data can't give; else the number of classes. Raises ConfigError, DataError."""
    data = sources.load(experiment.data.source)
    train, validation, _ = data.splits(experiment.data.validation)
    too_large = [batch for batch in experiment.scale.global_batches if batch > len(train)]
    if too_large:
        raise ConfigError(
            f"scale.global_batches: {too_large[0]:,} is more than the {len(train):,} training rows: leave it out"
        )
    if not len(validation):
        raise ConfigError("scale.target looks at validation rows: data.validation must be above 0")
    return data.classes


class Sweep:
    """Runs what an experiment lacks. All state is in the directory: a killed one is made again and goes on."""

    def __init__(self, experiment: Experiment, folder: ExperimentDir, executor: Executor, terminal: Terminal) -> None:
        """Raises ConfigError and DataError where the data can't give what is asked for."""
        self._experiment = experiment
        self._folder = folder
        self._executor = executor
        self._terminal = terminal
        self._classes = check(experiment)
        self._signals = StopSignals()
        self._starts: Counter[Setting] = Counter()
        self.failed: dict[Setting, str] = {}
        """Trials that came to no result, and why."""

    def run(self) -> None:
        """Run the trials, then measure the throughput. Raises Stopped after a signal, once what ran is saved."""
        with self._signals:
            done = self._run_trials()
            if wide := coarse(done):
                self._terminal.warning(
                    f"{len(wide)} trials reached the target in an interval of more than 5 % of their steps: evaluate "
                    "more often (scale.evaluate_every)"
                )
            noise.write(self._folder, done)
            self._measure_throughput()

    def _run_trials(self) -> list[Trial]:
        running: dict[str, tuple[Setting, float]] = {}
        done = self._results()
        if done:
            self._terminal.line(f"{len(done)} trials were done before")
        with ProgressTable(self._terminal, self._experiment) as progress:
            while (wanted := self._wanted(done, running)) or running:
                room = self._executor.capacity - len(running)
                self._executor.start([self._task(setting) for setting in wanted[:room]])
                running |= {setting.name: (setting, time.monotonic()) for setting in wanted[:room]}
                progress.show(done, [setting for setting, _ in running.values()], self.failed)
                ended = [running.pop(task.name) for task in self._next_ended()]
                done = self._results()
                for setting, start in ended:
                    self._note_failure(setting, done)
                    progress.tell(setting, done, self.failed, time.monotonic() - start)
        return done

    def _wanted(self, done: Sequence[Trial], running: dict[str, tuple[Setting, float]]) -> list[Setting]:
        wanted = next_settings(self._experiment, done, self.failed)
        return [setting for setting in wanted if setting.name not in running]

    def _task(self, setting: Setting) -> Task:
        config_file, run = self._folder.config_of(setting), self._folder.run_of(setting)
        write_atomically(config_file, dump(self._experiment.trial(*setting)).encode())
        self._starts[setting] += 1
        options = ["--run-dir", str(run.path), "--resume", "auto", "--only-training"]
        return Task(setting.name, [*HARNESS, "train", str(config_file), *options], self._folder.output_of(setting))

    def _note_failure(self, setting: Setting, done: Sequence[Trial]) -> None:
        if setting in [Setting(trial.global_batch, trial.learning_rate, trial.seed) for trial in done]:
            return
        run = self._folder.run_of(setting)
        was_stopped = run.exists() and run.read_summary()["status"] == "stopped"
        if not was_stopped or self._starts[setting] == _MOST_STARTS:
            self.failed[setting] = failure_of(run, self._folder.output_of(setting))

    def _results(self) -> list[Trial]:
        """Of all trials that are done, which are also written to trials.csv."""
        done = self._folder.results(self._classes)
        if done:
            comments = [f"target: {self._experiment.scale.target}"]
            comments += [f"failed: {setting.name}: {why}" for setting, why in self.failed.items()]
            trials.write(self._folder.trials_file, done, comments)
        return done

    def _measure_throughput(self) -> None:
        waiting = throughput.tasks(self._experiment, self._folder)
        capacity = self._executor.capacity if self._executor.is_undisturbed else 1
        running = 0
        while waiting or running:
            room = capacity - running
            self._executor.start(waiting[:room])
            running += len(waiting[:room])
            waiting = waiting[room:]
            for task in self._next_ended():
                running -= 1
                self._terminal.line(f"throughput  {task.name}: {throughput.told(task)}")
        throughput.write(self._experiment, self._folder)

    def _next_ended(self) -> list[Task]:
        """The tasks that end next. Raises Stopped after a signal."""
        while True:
            if self._signals.received:
                self._terminal.line("stopping the trials that run")
                self._executor.stop()
                raise Stopped("stopped; the same command goes on", self._signals.received)
            if ended := self._executor.ended():
                return ended
            time.sleep(self._executor.seconds_between_looks)


def describe(experiment: Experiment, terminal: Terminal) -> None:
    """Print the grid: batches, rates, and how much there is to train at the most."""
    scale = experiment.scale
    seeds = f"{scale.seeds.select} + {scale.seeds.report} seeds"
    budget = [f"{scale.max_examples:,} examples"] if scale.max_examples else []
    budget += [f"{scale.max_seconds:g} s"] if scale.max_seconds else []
    terminal.line(f"target    {scale.target}, looked at every {scale.evaluate_every}, within {' or '.join(budget)}")
    for batch in sorted(scale.global_batches):
        rates = ", ".join(f"{rate:g}" for rate in scale.learning_rate.at(batch))
        terminal.line(f"batch     {batch:>7,}   learning rates {rates}")
    terminal.line(f"trials    {expected_trials(experiment)} on {seeds}, and more where a grid has to be extended")


def estimate(experiment: Experiment, terminal: Terminal) -> None:
    """Print how long the experiment takes at the most, from the speed of its middle batch on this machine."""
    batches = sorted(experiment.scale.global_batches)
    middle = experiment.model_copy(
        update={"scale": experiment.scale.model_copy(update={"global_batches": [batches[len(batches) // 2]]})}
    )
    with tempfile.TemporaryDirectory() as folder:
        task = throughput.tasks(middle, ExperimentDir(Path(folder)))[0]
        with task.output.open("w") as output:
            subprocess.run(task.command, stdout=output, stderr=subprocess.STDOUT)
        try:
            told = json.loads(task.output.read_bytes())
        except ValueError:
            raise HarnessError(f"the speed can't be measured: {throughput.told(task)}") from None
    start, speed = told["first_step"]["seconds"], told["images_per_second"]["median"]
    seconds = sum(_longest_trial(experiment, batch, start, speed) for batch in batches)
    seconds *= expected_trials(experiment) / len(batches)
    terminal.line(
        f"time      at most about {timedelta(seconds=round(seconds))}, one trial after another on this machine"
    )


def _longest_trial(experiment: Experiment, batch: int, start: float, speed: float) -> float:
    """Seconds of a trial that never reaches the target; evaluating an image takes a third of training on it."""
    scale = experiment.scale
    if scale.max_examples is None:
        assert scale.max_seconds is not None
        return start + scale.max_seconds
    evaluations = scale.max_examples / max(batch, int(scale.evaluate_every.amount))
    training = min(scale.max_examples / speed, scale.max_seconds or math.inf)
    return start + training + evaluations * experiment.data.validation / (3 * speed)
