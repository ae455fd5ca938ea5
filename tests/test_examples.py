"""docs/examples: each runs as its head says, on real MNIST, and no line of the package knows of it."""

import importlib
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import harness
from harness.cluster.strategy import connect
from harness.config import load
from harness.config.cluster import ClusterSection
from harness.config.data import DataSection
from harness.data import augment, sources
from harness.data.sources import Split
from harness.models.build import builder
from harness.training.compile import compiled_chunk
from harness.training.events import Events
from harness.training.state import State

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
QUICK: dict[str, Any] = {
    "train.length": "6 steps",
    "train.global_batch": 16,
    "model.width": 4,
    "insight.methods": ["gradient"],
    "insight.images": 1,
    "insight.filters": False,
}


@pytest.fixture(autouse=True)
def in_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)


@pytest.fixture(scope="module")
def after_50_steps() -> Callable[[int, str], dict[str, Any]]:
    """The weights and statistics of the example's ResNet after 50 steps of SGD on so many logical CPUs.

    In float32 at a rate of 0.001 and without momentum: rounding turns single ReLUs on or off, and at higher rates a
    network this narrow makes much of it, on one replica as on several (6e-3 of all weights was seen at 0.01).
    """
    mnist = sources.load("mnist")
    rows = Split(mnist.x_train[:300][:, ::2, ::2], mnist.y_train[:300])

    @cache
    def train(replicas: int, dtype: str) -> dict[str, Any]:
        gently = ["optimizer.learning_rate=0.001", "optimizer.momentum=0"]
        rate = ["optimizer.learning_rate=0.01"] if dtype == "float64" else gently
        config = load("resnet.yaml", ["train.length=50 steps", "train.global_batch=15", "model.width=4", *rate])
        cluster, events = connect(ClusterSection(logical_cpus=replicas)), Events.of(config, len(rows))
        state = State(config, cluster, events, builder(config, (14, 14, 1), 10, dtype))
        assert compiled_chunk(config, cluster, state, rows, 0, pytest.fail)(50).steps == 50
        kept = [variable for variable in state.model.variables if tf.as_dtype(variable.dtype).is_floating]
        assert {variable.dtype for variable in kept} == {dtype}
        return {variable.path: variable.numpy() for variable in kept}

    return train


def distance(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Of all numbers in one from those in the other, relative."""
    flat = [np.concatenate([side[name].ravel() for name in one]) for side in (one, other)]
    return float(np.linalg.norm(flat[0] - flat[1]) / np.linalg.norm(flat[1]))


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-4)])
def test_the_resnet_ends_alike_on_several_replicas(
    after_50_steps: Callable[[int, str], dict[str, Any]], dtype: str, tolerance: float
) -> None:
    one = after_50_steps(1, dtype)
    for replicas in (2, 4):
        several = after_50_steps(replicas, dtype)  # with a row of padding
        assert distance(several, one) <= tolerance, replicas
        if dtype == "float64":
            for name, values in several.items():
                assert distance({name: values}, one) <= tolerance, (replicas, name)


@pytest.mark.slow
def test_the_resnet_trains_resumes_to_the_bit_is_pictured_and_compared(
    tmp_path: Path, small_data: Path, call: Callable[..., Any]
) -> None:
    quick = QUICK | {"data.source": str(small_data), "data.validation": 200}
    quick |= {"schedule.name": "constant", "schedule.warmup": "0 steps"}
    whole = harness.train("resnet.yaml", tmp_path / "whole", quiet=True, **quick)
    assert whole is not None
    assert whole.report_file.exists()
    half = quick | {"train.length": "3 steps"}
    harness.train("resnet.yaml", tmp_path / "half", quiet=True, only_training=True, **half)
    told = call("resume", tmp_path / "half", "--length", "6 steps", "--no-report")
    assert told.exit_code == 0, told.stderr
    resumed = harness.RunDir.open(tmp_path / "half")
    assert resumed.read_summary()["weights_sha256"] == whole.read_summary()["weights_sha256"]
    compared = call("compare", whole.path, resumed.path, "--out", tmp_path / "compared")
    assert compared.exit_code == 0, compared.stderr


@pytest.mark.slow
def test_the_callbacks_write_numbers_and_a_picture(tmp_path: Path) -> None:
    sys.path.append(str(EXAMPLES))
    try:
        callback = importlib.import_module("callback")
    finally:
        sys.path.remove(str(EXAMPLES))
    settings: dict[str, Any] = {"train.length": "2 steps", "train.global_batch": 16, "data.validation": 200}
    entries = [{"name": "callback:Norms", "every": "1 step"}, {"name": "callback:first_kernels", "every": "2 steps"}]
    assert callable(callback.Norms())
    assert callable(callback.first_kernels)
    run = harness.train("mnist", tmp_path / "run", quiet=True, only_training=True, callbacks=entries, **settings)
    assert run is not None
    rows = [row for row in run.read_metrics() if row["split"] == "callback"]
    assert [(row["step"], row["name"]) for row in rows] == [(1, "Norms"), (2, "Norms"), (2, "first_kernels")]
    assert rows[1]["conv_1/kernel/growth"] != 0


@pytest.mark.slow
def test_the_loss_trains_and_is_measured(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "train.length": "6 steps",
        "train.global_batch": 16,
        "loss": {"name": "squared:squared", "scale": 2},
    }
    metrics = {"brier": {"name": "squared:squared"}}
    run = harness.train("mnist", tmp_path / "run", quiet=True, only_training=True, metrics=metrics, **settings)
    assert run is not None
    validation = run.read_summary()["validation"]
    assert validation["loss"] == pytest.approx(2 * validation["brier"], rel=1e-5)
    assert validation["accuracy"] > 0.1


def test_the_noise_is_within_its_strength_and_goes_by_position() -> None:
    images = tf.constant(sources.load("mnist").x_train[:20])
    positions = tf.range(20, dtype=tf.int64)
    data = DataSection.model_validate({"augment": [{"name": "noise:noise", "strength": 20}]})
    augment.check(data, (28, 28, 1))
    seen = augment.augmented(images, positions, 0, data)
    added = seen.numpy().astype(int) - images.numpy()
    assert added.max() == 20
    assert added.min() == -20
    np.testing.assert_array_equal(seen[7:9], augment.augmented(images[7:9], positions[7:9], 0, data))


def test_the_package_knows_nothing_of_them() -> None:
    package = Path(harness.__file__).parent
    mentioned = re.compile("resnet:resnet|docs/examples")
    assert [path for path in package.rglob("*.py") if mentioned.search(path.read_text())] == []
