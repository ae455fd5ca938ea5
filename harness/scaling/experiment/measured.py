"""What an experiment measures beside its trials: the speed of each batch, and the noise scale along them."""

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path

from harness.config import dump
from harness.config.scale import Experiment
from harness.runs.paths import write_atomically
from harness.scaling.experiment.executors import Task
from harness.scaling.experiment.experiment_dir import ExperimentDir
from harness.scaling.experiment.plan import Setting
from harness.scaling.tables.measurements import NoiseWindow, Throughput, write_noise, write_throughput
from harness.scaling.tables.trials import Trial
from harness.supervision.launch import HARNESS
from harness.training import noise_scale

_WINDOWS = 7
"""Their smallest and largest are a 98 % interval of the median (1 - 2 · 0.5⁷)."""
_HARMLESS_RATE = 1e-6
"""The speed is the same at any rate, and at a high one the loss might not stay finite."""
_NOISE_WINDOWS = 8
"""Of each trial at the most."""


def throughput_tasks(experiment: Experiment, folder: ExperimentDir) -> list[Task]:
    """The processes that measure what is not measured yet."""
    measured = {(row.global_batch, row.replicas) for row in throughputs(experiment, folder)}
    return [_task(experiment, folder, *pair) for pair in _pairs(experiment) if pair not in measured]


def throughputs(experiment: Experiment, folder: ExperimentDir) -> list[Throughput]:
    """What has been measured of that which the experiment asks for."""
    rows = []
    for batch, replicas in _pairs(experiment):
        with suppress(OSError, ValueError):  # not measured yet, or failed: then it is empty
            found = json.loads(_output(folder, batch, replicas).read_bytes())
            speed = found["images_per_second"]
            rows.append(
                Throughput(
                    batch, replicas, found["cores"], speed["median"], speed["min"], speed["max"], found["device"]
                )
            )
    return rows


def outcome_of(task: Task) -> str:
    """What came of it, in a few words."""
    try:
        speed = json.loads(task.output.read_bytes())["images_per_second"]
    except (OSError, ValueError):
        assert task.errors is not None
        lines = task.errors.read_text(errors="replace").strip().splitlines() if task.errors.exists() else []
        return lines[-1] if lines else "it printed nothing"
    return f"{speed['median']:,.0f} images/s ({speed['min']:,.0f} to {speed['max']:,.0f})"


def write_throughputs(experiment: Experiment, folder: ExperimentDir) -> None:
    """Write throughput.csv, unless nothing could be measured."""
    if rows := throughputs(experiment, folder):
        write_throughput(folder.throughput_file, rows)


def _pairs(experiment: Experiment) -> list[tuple[int, int]]:
    return list(product(sorted(set(experiment.scale.global_batches)), sorted(set(experiment.scale.replicas))))


def _task(experiment: Experiment, folder: ExperimentDir, global_batch: int, replicas: int) -> Task:
    output = _output(folder, global_batch, replicas)
    config_file = output.with_suffix(".yaml")
    output.parent.mkdir(exist_ok=True)
    write_atomically(config_file, dump(experiment.trial(global_batch, _HARMLESS_RATE, experiment.seed)).encode())
    options = ["--replicas", str(replicas), "--quick", "--repeats", str(_WINDOWS), "--json"]
    return Task(
        f"b{global_batch} on {replicas}",
        [*HARNESS, "bench", str(config_file), *options],
        output,
        output.with_suffix(".txt"),
    )


def _output(folder: ExperimentDir, global_batch: int, replicas: int) -> Path:
    return folder.path / "throughput" / f"b{global_batch}-r{replicas}.json"


def write_noise_scales(folder: ExperimentDir, trials: Sequence[Trial]) -> None:
    """Write noise_scale.csv, unless no trial has measured anything (`train.noise_scale`)."""
    rows = []
    for trial in trials:
        setting = Setting.of(trial)
        for window in noise_scale.known_windows(folder.run_of(setting).read_metrics(), _NOISE_WINDOWS):
            rows.append(
                NoiseWindow(
                    *setting,
                    window.first_step,
                    window.last_step,
                    window.b_simple,
                    window.low,
                    window.high,
                    window.b_preconditioned,
                    window.preconditioned_low,
                    window.preconditioned_high,
                )
            )
    if rows:
        write_noise(folder.noise_file, rows)
