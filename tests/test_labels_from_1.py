"""Runs of version 0.1.0 on labels from 1, whose models have an output for a class 0 that never occurs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import harness
from harness.comparison.evaluation import evaluate
from harness.comparison.sides import open_sides
from harness.data import sources
from harness.report.evaluated_model import of_run
from harness.runs.run_dir import RunDir
from tests.test_data_by_rows import net

SETTINGS = {
    "train.length": "2 steps",
    "train.global_batch": 16,
    "data.validation": 6,
    "checkpoint.every": "1 steps",
    "schedule.name": "constant",
    "schedule.warmup": "0 steps",
}
LABELS = np.arange(60) % 3 + 1


@pytest.fixture(scope="module")
def older_run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """As that version made it: labels 1 to 3, four outputs, and no names of classes."""
    folder = tmp_path_factory.mktemp("older")
    images = np.random.default_rng(0).integers(0, 256, (60, 10, 10, 1), np.uint8)

    def write(labels: np.ndarray) -> None:
        np.savez(folder / "data.npz", x_train=images, y_train=labels, x_test=images[:30], y_test=labels[:30])

    write(np.where(np.arange(60) == 0, 0, LABELS))  # a 0, so that these are kept as they are
    options: dict[str, Any] = {"quiet": True, "with_report": False, **SETTINGS}
    run = harness.train("mnist", folder / "run", model=net, data=str(folder / "data.npz"), **options)
    assert run is not None
    assert not run.read_class_names()
    write(LABELS)
    assert sources.load(run.read_config().data).classes == 3
    return run


@pytest.mark.slow
def test_it_is_evaluated_pictured_and_compared_by_the_labels_that_it_was_trained_on(older_run: RunDir) -> None:
    model = keras.saving.load_model(older_run.model_file)
    images = sources.load(older_run.read_config().data).x_test
    predicted = model.predict_on_batch(images[:].astype(np.float32)).argmax(axis=1)
    accuracy = np.mean(predicted == LABELS[:30])
    assert accuracy != np.mean(predicted == LABELS[:30] - 1)

    told: list[str] = []
    assert harness.evaluate(older_run, warn=told.append)["accuracy"] == pytest.approx(accuracy)
    assert harness.evaluate(str(older_run.path), "validation", warn=told.append)["examples"] == 6
    pictured = of_run(older_run, older_run.read_config())
    assert pictured.labels.tolist() == LABELS[:30].tolist()
    assert pictured.train is not None
    assert pictured.train.labels.tolist() == LABELS[:54].tolist()
    for side in open_sides(older_run.path, older_run.checkpoints_dir / "step-2.safetensors"):
        compared = evaluate(side).model
        assert compared.labels.tolist() == LABELS[:30].tolist()
        assert np.array_equal(compared.predicted, predicted)


def test_it_is_not_resumed_and_that_is_said(older_run: RunDir, call: Callable[..., Any]) -> None:
    refused = call(
        "train",
        older_run.config_file,
        "--resume",
        older_run.path,
        "--only-training",
        "--data-changed",
        "--set",
        "train.length=3 steps",
    )
    assert refused.exit_code == 2
    (line,) = refused.stderr.splitlines()
    for fact in ("version 0.1.0", "labels from 1", "train again"):
        assert fact in line


def test_a_run_since_then_is_told_apart(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 10, 10, 1), np.uint8)
    np.savez(tmp_path / "data.npz", x_train=images, y_train=LABELS, x_test=images, y_test=LABELS)
    data = sources.load(str(tmp_path / "data.npz"))
    assert data.for_outputs(3) is data
    assert data.for_outputs(4).y_test.tolist() == LABELS.tolist()
    assert data.for_outputs(4).classes == 4
