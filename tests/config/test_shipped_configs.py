"""The configs that come with the package, as they are and with one key changed."""

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import pytest

from harness import preparation
from harness.config import Config, load
from harness.config.load import load_as, shipped
from harness.config.scale import Experiment
from harness.data import sources
from harness.data.sources import DataSet
from harness.errors import ConfigError

FOLDER = Path(__file__).parents[2] / "configs"
EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "examples").glob("*.yaml"))
FILES = sorted(FOLDER.glob("*.yaml"))
TIME = r"\btime (\S+ to )?[\d.]+ (seconds?|s|minutes?|hours?)\b|\btime:? [^.;]*\bnot yet measured"
"""What a header says of it: a number with its unit, or that there is none."""


def is_experiment(path: Path) -> bool:
    return "\nscale:" in path.read_text()


def kind(path: Path) -> type[Config]:
    return Experiment if is_experiment(path) else Config


def test_those_in_the_folder_are_those_shipped() -> None:
    assert [path.stem for path in FILES] == shipped()
    assert "mnist" in shipped()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_loads_and_begins_its_runs_with_its_own_name(path: Path) -> None:
    assert load_as(kind(path), path).name == path.stem
    assert load_as(kind(path), path.stem) == load_as(kind(path), path)


@pytest.mark.parametrize("path", [path for path in FILES if is_experiment(path)], ids=lambda path: path.stem)
def test_an_experiment_is_not_taken_for_a_run(path: Path) -> None:
    with pytest.raises(ConfigError, match="harness scale run"):
        load(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_opens_with_its_command_the_expected_time_and_the_expected_score(path: Path) -> None:
    lines = path.read_text().splitlines()
    first_code = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    header = lines[:first_code]
    command = "harness scale run" if is_experiment(path) else "harness train"
    assert f"{command} {path.stem}" in header[0] or f"{command} configs/{path.name}" in header[0]
    assert "accuracy" in " ".join(header)
    assert re.search(TIME, " ".join(header))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_opens_with_its_command_the_time_and_the_score_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    assert load(path).name == path.stem
    command, *header = takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    assert f"cd docs/examples; harness train {path.name}" in command
    assert "accuracy" in " ".join(header)
    assert re.search(TIME, " ".join(header))


CHANGES: dict[str, Sequence[object]] = {
    "name": ["mine"],
    "based_on": ["mine"],
    "seed": [1],
    "data.source": ["mnist"],
    "data.scale": ["[0, 255]"],
    "data.validation": [1, 10_000, "10 %"],
    "data.fold": ["2/5"],
    "data.subset": [50_000, "90 %"],
    "data.shift": [0, 2],
    "data.augment": ["[{name: crop, padding: 2}, {name: mixup}]"],
    "data.stratify": ["true"],
    "data.placement": ["host"],
    "data.size": [28, "[28, 28]"],
    "data.resize": ["pad"],
    "data.channels": [1],
    "data.test": [100, "10 %"],
    "data.split_seed": [1],
    "data.image_feature": ["image"],
    "data.label_feature": ["label"],
    "model.name": ["cnn", "cnn_two_pools", "my_package.models:resnet"],
    "model.file": ["my.keras"],
    "model.freeze": ["[conv_1]"],
    "model.input.color": ["rgb"],
    "model.input.size": ["[32, 32]"],
    "model.input.normalize": ["{}"],
    "cluster.strategy": ["single"],
    "cluster.gpus": ["[0]"],
    "cluster.logical_cpus": [2],
    "cluster.logical_gpus": [2],
    "cluster.all_reduce": ["hierarchical"],
    "cluster.start_timeout": [10],
    "train.length": ["1 epoch", "0.1 epochs", "1 step", "2 steps", "300 steps", "1000 examples", "50 epochs"],
    "train.max_seconds": [60],
    "train.global_batch": [2, 7, 1024, 50_000],
    "train.micro_batch": [8, 100_000],
    "train.clip_norm": [1],
    "loss.name": ["cross_entropy", "focal"],
    "loss.label_smoothing": [0, 0.2],
    "loss.class_weights": ["[1, 1, 1, 1, 1, 1, 1, 1, 1, 2]"],
    "train.ema": [0.99],
    "train.precision": ["bfloat16", "float16"],
    "train.tf32": ["true"],
    "train.jit": ["on"],
    "train.deterministic": ["false"],
    "train.on_nonfinite": ["restore"],
    "train.noise_scale": ["1 step", "1 epoch"],
    "optimizer.name": ["adam", "adamw", "sgd"],
    "optimizer.learning_rate": [0.01],
    "schedule.name": ["constant", "linear", "cosine"],
    "schedule.warmup": ["0 steps", "10 steps", "50 %"],
    "evaluate.every": ["1 step", "100 epochs"],
    "evaluate.batch": [1, 1000],
    "checkpoint.every": ["1 step", "100 epochs", "1 minute"],
    "checkpoint.keep": [1, 10],
    "tensorboard.histograms": ["null", "1 step"],
    "tensorboard.images": [0, 100],
    "insight.images": [1],
    "insight.methods": ["[]", "[gradient]"],
    "insight.layer": ["conv_1"],
    "insight.every": ["1 epoch"],
    "insight.metrics": ["true"],
    "insight.filters": ["false"],
    "insight.budget": ["1 minute"],
    "train.target": ["{at_least: 0.9}"],
    "train.early_stop": ["{patience: 2}"],
    "callbacks": ["[]", "[{name: mlflow}, {name: wandb, mode: offline}]"],
    "checkpoint.best.metric": ["validation.loss"],
    "checkpoint.best.mode": ["max"],
}
OF_FILES = {f"data.{key}" for key in ("size", "channels", "test", "split_seed", "image_feature", "label_feature")}
"""Which need image files, and are refused with any other source."""
NEEDS_VALIDATION = {"train.target", "train.early_stop", "train.max_seconds"}
WITH_VALIDATION = [path for path in FILES if load_as(kind(path), path).data.validation]
ONE_CHANGED = [
    (path, key) for path in FILES for key in CHANGES if path in WITH_VALIDATION or key not in NEEDS_VALIDATION
]


@pytest.fixture(scope="module")
def mnist() -> DataSet:
    return sources.load("mnist")


def test_every_key_is_among_the_changes() -> None:
    assert Config().flat().keys() == CHANGES.keys()


@pytest.mark.parametrize(
    ("path", "key"), ONE_CHANGED, ids=lambda value: value.stem if isinstance(value, Path) else value
)
def test_any_one_key_can_be_changed_alone(path: Path, key: str, mnist: DataSet) -> None:
    for value in CHANGES[key]:
        if is_experiment(path) and key == "schedule.name" and value != "constant":
            continue  # a trial that stops at a target has no end to fall towards
        source = ["data.source=tfrecord:x"] if key in OF_FILES else []
        if key == "data.source" and load_as(kind(path), path).data.size:
            value = "csv:other.csv"
        preparation.check(load_as(kind(path), path, [*source, f"{key}={value}"]), mnist)
