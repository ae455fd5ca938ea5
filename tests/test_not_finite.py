"""A model that has become useless within one step: what its evaluations say, in JSON that any program reads."""

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest

import harness
from harness.comparison.curves import compare_curves
from harness.comparison.curves import curves_picture as compared_curves
from harness.config import load
from harness.report.training_figures import curves_picture
from harness.runs.run_dir import RunDir
from harness.scaling.experiment.experiment_dir import trial_of

SETTINGS = [
    "optimizer={name: sgd, learning_rate: 3.0e+38, momentum: 0}",
    "schedule={name: constant, warmup: 0 steps}",
    "train={length: 1 steps}",
]


@pytest.fixture(scope="module")
def run(small_config: Path, tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    config = load(small_config, [tiny_model, *SETTINGS])
    trained = harness.train(config, tmp_path_factory.mktemp("useless") / "run", quiet=True, with_report=False)
    assert trained is not None
    return trained


def strictly(text: str) -> Any:
    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_loss_that_is_not_finite_is_null(run: RunDir) -> None:
    rows = [strictly(line) for line in run.metrics_file.read_text().splitlines()]
    for split in ("validation", "test"):
        (row,) = (row for row in rows if row["split"] == split)
        assert row["loss"] is None
        assert strictly(run.summary_file.read_text())[split]["loss"] is None
    assert rows == run.read_metrics()


def test_it_is_drawn_and_compared_without_that_point(run: RunDir) -> None:
    rows = run.read_metrics()
    finite = [row if row["loss"] is not None else {**row, "loss": 2.5} for row in rows]
    assert "validation: loss not finite, " in curves_picture(rows).alt
    assert "validation of A: loss not finite, " in compared_curves({"A": rows, "B": finite}).alt
    assert "loss not finite and 2.5" in compare_curves(rows, finite)["validation"].words


def test_such_a_trial_has_diverged(run: RunDir) -> None:
    trial = trial_of(run, classes=10)
    assert trial is not None
    assert trial.status == "diverged"
