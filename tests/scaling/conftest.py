"""A whole synthetic experiment, of known S_min and B_crit, with trials that missed and diverged."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.page import Picture
from harness.scaling.fit.curve import Analysis, analyse
from harness.scaling.fit.results import results
from harness.scaling.report.output import pictures
from harness.scaling.tables.measurements import NoiseWindow, Throughput, write_noise, write_throughput
from harness.scaling.tables.trials import Trial, write

S_MIN, B_CRIT = 40, 300
BATCHES = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096]


def synthetic_trials(batches: list[int]) -> list[Trial]:
    """Three rates on seed 0, the best one on seeds 1 to 3; evaluated every 5 % of what it takes."""
    draws = np.random.default_rng(5)
    trials = []
    for batch in batches:
        centre = 0.003 * math.sqrt(batch / 128)
        for factor, cost in ((0.5, 1.5), (1, 1.0), (2, 1.3)):
            if batch == 16 and factor < 1:
                continue  # its best rate is unbracketed
            for seed in range(4 if factor == 1 else 1):
                steps = S_MIN * (1 + B_CRIT / batch) * cost * math.exp(draws.normal(0, 0.06))
                every = max(1, round(steps / 20))
                low = math.ceil(steps / every - 1) * every
                trials.append(Trial(batch, centre * factor, seed, low, low + every, "reached"))
    for index, trial in enumerate(trials):
        if trial.global_batch == 4096 and trial.seed == 3:
            trials[index] = Trial(4096, trial.learning_rate, 3, 60, None, "missed")
        elif trial.global_batch >= 2048 and trial.learning_rate > 0.02:
            trials[index] = Trial(trial.global_batch, trial.learning_rate, trial.seed, 7, None, "diverged")
        elif trial.global_batch >= 1024 and trial.learning_rate < 0.0061:
            trials[index] = Trial(trial.global_batch, trial.learning_rate, trial.seed, 60, None, "missed")
    return trials


def synthetic_throughput(batches: list[int], replicas: tuple[int, ...], cores: int) -> list[Throughput]:
    """Speed that saturates with the rows a replica gets."""
    return [
        Throughput(batch, count, cores, speed, 0.97 * speed, 1.02 * speed, "synthetic CPU")
        for batch in batches
        for count in replicas
        for speed in [7000 * count**0.9 * batch / (batch + 24 * count)]
    ]


def synthetic_noise(trials: list[Trial]) -> list[NoiseWindow]:
    """Ten windows of each trial that reached the target; the noise scale rises from 50 to 900, two are unknown on
    seed 3."""
    windows = []
    for trial in trials:
        if trial.steps_high is None:
            continue
        edges = np.linspace(0, trial.steps_high, 11).astype(int)
        for index, (first, last) in enumerate(pairwise(edges)):
            b = 50 * 18 ** (index / 9) * (1 + 0.1 * math.sin(trial.seed + index + math.log(trial.global_batch)))
            unknown = index in (1, 5) and trial.seed == 3
            simple, low, high = (None, None, None) if unknown else (b, 0.7 * b, 1.5 * b)
            windows.append(
                NoiseWindow(
                    trial.global_batch,
                    trial.learning_rate,
                    trial.seed,
                    int(first) + 1,
                    int(last),
                    simple,
                    low,
                    high,
                    0.4 * b,
                    0.25 * b,
                    0.7 * b,
                )
            )
    return windows


def write_experiment(folder: Path, batches: list[int], replicas: tuple[int, ...] = (1, 2), cores: int = 2) -> Path:
    """The three tables of an experiment over these batches; the path of the trials."""
    folder.mkdir(parents=True, exist_ok=True)
    trials = synthetic_trials(batches)
    write(folder / "trials.csv", trials)
    write_throughput(folder / "throughput.csv", synthetic_throughput(batches, replicas, cores))
    write_noise(folder / "noise_scale.csv", synthetic_noise(trials))
    return folder / "trials.csv"


@dataclass(frozen=True)
class Synthetic:
    """An experiment's tables, and what is made of them."""

    trials: list[Trial]
    throughput: list[Throughput]
    noise: list[NoiseWindow]
    analysis: Analysis
    results: dict[str, Any]

    @cached_property
    def plots(self) -> dict[str, Picture]:
        made = pictures(self.analysis, self.trials, self.throughput, self.noise, self.results)
        return {plot.name: plot for plot in made}


def synthesize(
    trials: list[Trial], throughput: Sequence[Throughput] = (), noise: Sequence[NoiseWindow] = ()
) -> Synthetic:
    analysis = analyse(trials)
    found = results(analysis, throughput, noise, "validation.accuracy at least 0.985")
    return Synthetic(trials, list(throughput), list(noise), analysis, found)


@pytest.fixture(scope="session")
def make_experiment() -> Callable[..., Path]:
    return write_experiment


@pytest.fixture(scope="session")
def make() -> Callable[..., Synthetic]:
    return synthesize


@pytest.fixture(scope="session")
def whole() -> Synthetic:
    """Nine batches, two of which have trials that missed or diverged; one and two replicas; noise scales."""
    trials = synthetic_trials(BATCHES)
    return synthesize(trials, synthetic_throughput(BATCHES, (1, 2), 2), synthetic_noise(trials))


@pytest.fixture(scope="session")
def unsettled() -> Synthetic:
    """Three small batches, from which B_crit is not identified, on up to twice as many replicas as cores."""
    batches = BATCHES[:3]
    trials = synthetic_trials(batches)
    return synthesize(trials, synthetic_throughput(batches, (1, 2, 4), 2), synthetic_noise(trials))
