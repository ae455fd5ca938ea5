"""Training that ends before its length: at a target, or after a time; what a run then says, and how it goes on."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import keras
import numpy as np
import pytest

import harness
import harness.job
from harness.config import load
from harness.errors import ConfigError
from harness.runs.run_dir import RunDir

OFTEN = [
    "evaluate.every=5 steps",
    "schedule.name=constant",
    "train.length=200 steps",
    "insight={methods: [], filters: false}",
]


@pytest.fixture(scope="module")
def reached(small_config: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Trained until 60 % of the validation rows are right, without test, model and pictures."""
    config = load(small_config, [*OFTEN, "train.target={at_least: 0.6}"])
    run = harness.train(config, tmp_path_factory.mktemp("reached") / "run", quiet=True, only_training=True)
    assert run is not None
    return run


def validations(run: RunDir) -> dict[int, float]:
    return {row["step"]: row["accuracy"] for row in run.read_metrics() if row["split"] == "validation"}


@pytest.mark.slow
def test_training_ends_at_the_first_evaluation_that_reaches_the_target(reached: RunDir) -> None:
    *before, last = validations(reached).items()
    assert before
    assert all(accuracy < 0.6 for _, accuracy in before)
    assert last[1] >= 0.6
    summary = reached.read_summary()
    assert (summary["steps"], summary["ended_by"], summary["status"]) == (last[0], "target", "completed")
    assert last[0] < 200


@pytest.mark.slow
def test_what_ended_training_early_is_a_line(reached: RunDir) -> None:
    steps = reached.read_summary()["steps"]
    assert f"ended     at step {steps} of 200: validation.accuracy ≥ 0.6 is reached\n" in reached.log_file.read_text()


@pytest.mark.slow
def test_only_training_leaves_test_model_and_pictures_to_a_resume(reached: RunDir, tmp_path: Path) -> None:
    assert reached.read_summary()["test"] is None
    assert not reached.model_file.exists()
    assert not reached.report_file.exists()
    weights = reached.read_summary()["weights_sha256"]
    harness.train(reached.read_config(), resume=reached.path, quiet=True)
    summary = reached.read_summary()
    assert (summary["weights_sha256"], summary["ended_by"]) == (weights, "target")
    assert summary["test"]["examples"] == 500
    assert reached.report_file.exists()


@pytest.mark.slow
def test_a_loss_can_be_the_target_and_with_a_harder_one_the_run_goes_on(small_config: Path, tmp_path: Path) -> None:
    easy, hard = (
        load(small_config, [*OFTEN, f"train.target={{metric: validation.loss, at_most: {limit}}}"])
        for limit in (2.2, 1.8)
    )
    run = harness.train(easy, tmp_path / "run", quiet=True, only_training=True)
    assert run is not None
    first = run.read_summary()
    assert first["ended_by"] == "target"
    assert 1.8 < first["validation"]["loss"] <= 2.2
    harness.train(hard, resume=run.path, quiet=True, only_training=True)
    assert run.read_summary()["steps"] > first["steps"]
    assert run.read_summary()["ended_by"] == "target"
    assert run.read_summary()["validation"]["loss"] <= 1.8


OWN = """
import tensorflow as tf

def margin(logits, labels, scale):
    best = tf.math.top_k(logits, 2).values
    return scale * (best[:, 0] - best[:, 1])
"""
METRICS = [
    "loss={name: focal, gamma: 1.5}",
    "metrics={top_3: {name: top_k, k: 3}, margin: {name: 'of_my_own:margin', scale: 0.5}}",
]


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "of_my_own.py").write_text(OWN)
    yield
    del sys.modules["of_my_own"]


@pytest.mark.slow
@pytest.mark.usefixtures("own_module")
def test_a_metric_of_ones_own_ends_training_and_chooses_the_best_checkpoint(small_config: Path, tmp_path: Path) -> None:
    ends = ["train.target={metric: validation.margin, at_least: 0.4}", "checkpoint.every=5 steps", "checkpoint.keep=1"]
    lowest = "checkpoint.best={metric: validation.margin, mode: min}"
    config = load(small_config, [*OFTEN, *METRICS, *ends, lowest])
    run = harness.train(config, tmp_path / "run", quiet=True, only_training=True)
    assert run is not None
    summary, rows = run.read_summary(), run.read_metrics()
    margins = {row["step"]: row["margin"] for row in rows if row["split"] == "validation"}
    assert summary["ended_by"] == "target"
    assert [margin >= 0.4 for margin in margins.values()] == [False] * (len(margins) - 1) + [True]
    assert summary["validation"].keys() == {"loss", "accuracy", "top_3", "margin", "examples"}
    assert all({"top_3", "margin"} <= row.keys() for row in rows)
    best = min(margins, key=lambda step: margins[step])
    assert {path.stem for path in run.checkpoints_dir.iterdir()} == {f"step-{best}", f"step-{summary['steps']}"}


@pytest.mark.slow
@pytest.mark.usefixtures("own_module")
def test_a_run_that_stops_early_counts_on_after_a_resume(small_config: Path, tmp_path: Path) -> None:
    """At a rate of almost zero nothing gets better: the first evaluation is the best."""
    never = "optimizer={name: sgd, learning_rate: 1e-30}"
    often = [*OFTEN, *METRICS, never, "checkpoint.every=5 steps"]
    stop = "train.early_stop={metric: validation.top_3, mode: max, patience: 4}"
    whole = harness.train(load(small_config, [*often, stop]), tmp_path / "whole", quiet=True, only_training=True)
    first = harness.train(
        load(small_config, [*often, stop, "train.length=15 steps"]), tmp_path / "parts", quiet=True, only_training=True
    )
    assert whole is not None
    assert first is not None
    assert (first.read_summary()["steps"], first.read_summary()["ended_by"]) == (15, "length")
    harness.train(load(small_config, [*often, stop]), resume=first.path, quiet=True, only_training=True)
    for run in (whole, first):
        assert (run.read_summary()["steps"], run.read_summary()["ended_by"]) == (25, "early_stop")
    # What was counted of another metric doesn't count.
    other = "train.early_stop={metric: validation.loss, patience: 2}"
    harness.train(load(small_config, [*often, other]), resume=first.path, quiet=True, only_training=True)
    assert first.read_summary()["steps"] > 25


@pytest.mark.slow
@pytest.mark.usefixtures("own_module")
def test_with_a_focal_loss_and_metrics_a_resume_is_exact(small_config: Path, tmp_path: Path) -> None:
    settings = [*OFTEN, *METRICS, "checkpoint.every=5 steps", "train.length=20 steps"]
    whole = harness.train(load(small_config, settings), tmp_path / "whole", quiet=True, only_training=True)
    parts = harness.train(
        load(small_config, [*settings, "train.length=10 steps"]), tmp_path / "parts", quiet=True, only_training=True
    )
    assert whole is not None
    assert parts is not None
    harness.train(load(small_config, settings), resume=parts.path, quiet=True, only_training=True)
    assert parts.read_summary()["weights_sha256"] == whole.read_summary()["weights_sha256"]
    assert parts.read_summary()["validation"] == whole.read_summary()["validation"]


@pytest.mark.slow
def test_one_logit_is_trained_exported_evaluated_and_pictured(small_config: Path, tmp_path: Path) -> None:
    with np.load(load(small_config).data.source) as arrays:
        parity = {name: values % 2 if name.startswith("y") else values for name, values in arrays.items()}
    np.savez(tmp_path / "parity.npz", **parity)
    changes = [f"data.source={tmp_path / 'parity.npz'}", "loss={name: binary}", "metrics={brier: {name: brier}}"]
    changes += ["insight.methods=[]", "insight.filters=false"]
    run = harness.train(load(small_config, changes), tmp_path / "run", quiet=True)
    assert run is not None
    test = run.read_summary()["test"]
    assert test["accuracy"] > 0.6
    model = keras.saving.load_model(run.model_file, compile=False)
    odd = model.predict(parity["x_test"].astype(np.float32), verbose=0)[:, 0]
    assert np.mean((odd > 0.5) == (parity["y_test"] == 1)) == pytest.approx(test["accuracy"])
    assert np.mean(2 * (odd - parity["y_test"]) ** 2) == pytest.approx(test["brier"], rel=1e-4)
    again = harness.job.evaluate(run, "test", pytest.fail)
    assert again == pytest.approx(test, rel=1e-5)
    assert run.report_file.exists()


def test_training_ends_at_the_first_evaluation_after_its_time(small_config: Path, tmp_path: Path) -> None:
    config = load(small_config, [*OFTEN, "train.length=100000 steps", "train.max_seconds=0.2"])
    run = harness.train(config, tmp_path / "run", quiet=True, only_training=True)
    assert run is not None
    summary = run.read_summary()
    assert summary["ended_by"] == "max_seconds"
    assert summary["train_seconds"] >= 0.2
    assert summary["steps"] == max(validations(run)) < 100_000


@pytest.mark.slow
def test_a_run_without_target_is_ended_by_its_length(completed_run: tuple[Path, object]) -> None:
    assert RunDir(completed_run[0]).read_summary()["ended_by"] == "length"


@pytest.mark.slow
def test_a_completed_run_says_when_it_ended(completed_run: tuple[Path, object]) -> None:
    run = RunDir(completed_run[0])
    finished = datetime.fromisoformat(run.read_summary()["finished"])
    assert finished.utcoffset() == timedelta(0)
    assert run.config_file.stat().st_mtime - 1 <= finished.timestamp() <= datetime.now(UTC).timestamp()


def test_a_failed_run_says_what_has_failed(call: Callable[..., object], small_config: Path, tmp_path: Path) -> None:
    call("train", small_config, "--run-dir", tmp_path / "run", "--set", "optimizer={name: sgd, learning_rate: 1e20}")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert re.match(r"NonFiniteLoss: .*not finite at step \d", summary["failure"])


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("{metric: validation.acuracy, at_least: 0.9}", "validation.acuracy' is not one of.*did you mean"),
        ("{at_least: 1.5}", "must be 1 or less"),
        ("{at_most: 1.5}", "validation.accuracy needs at_least"),
        ("{metric: validation.loss, at_least: 0.5}", "validation.loss needs at_most"),
        ("0.9", "expected a section"),
    ],
)
def test_a_wrong_target_is_refused(small_config: Path, target: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(small_config, [f"train.target={target}"])


def test_a_target_needs_validation_rows(small_config: Path, tmp_path: Path) -> None:
    config = load(small_config, ["train.target={at_least: 0.9}", "data.validation=0"])
    with pytest.raises(ConfigError, match=r"data\.validation must be above 0"):
        harness.train(config, tmp_path / "run", quiet=True)
