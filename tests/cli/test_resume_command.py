"""`harness resume`: a run goes on, is trained on, or gets back what it lacks, named by nothing but itself."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import harness
from harness.config import dump, load
from harness.runs.run_dir import RunDir
from tests.conftest import Result

pytestmark = pytest.mark.slow


@pytest.fixture
def run(completed_run: tuple[Path, Result], tmp_path: Path) -> RunDir:
    return RunDir(Path(shutil.copytree(completed_run[0], tmp_path / "runs" / "small")))


def weights(run: RunDir, step: int) -> dict[str, np.ndarray]:
    return safetensors.numpy.load_file(run.checkpoints_dir / f"step-{step}.safetensors")


def rates(run: RunDir) -> dict[int, float]:
    return {row["step"]: row["learning_rate"] for row in run.read_metrics() if row["split"] == "train"}


def test_a_finished_run_without_its_model_gets_it_back(
    call: Callable[..., Result], run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.path.parent.parent)
    before = run.read_summary()
    few = ["insight.images=1", "insight.filters=false"]
    run.config_file.write_text(dump(load(run.config_file, few)))
    run.model_file.unlink()
    refused = call("evaluate", "small")
    assert refused.exit_code == 2
    assert f"resume with: harness resume {run.path}" in refused.stderr
    result = call("resume", "small")
    assert result.exit_code == 0, result.stderr
    assert "exact to the bit" in result.stdout
    after = run.read_summary()
    assert {key: after[key] for key in ("status", "weights_sha256", "test", "steps")} == {
        key: before[key] for key in ("status", "weights_sha256", "test", "steps")
    }
    evaluated = json.loads(call("evaluate", "small", "--json").stdout)
    assert evaluated["accuracy"] == pytest.approx(before["test"]["accuracy"])
    again = call("resume", "latest")
    assert again.exit_code == 0
    assert "is complete: nothing to do" in again.stdout


@pytest.mark.parametrize("shorter", ["20 steps", "640 examples", "0.35 epochs"])
def test_a_shorter_length_is_refused_in_any_unit(call: Callable[..., Result], run: RunDir, shorter: str) -> None:
    (run.checkpoints_dir / "step-30.safetensors").unlink()
    files = {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()}
    refused = call("resume", run.path, "--length", shorter)
    assert (refused.exit_code, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert f"train.length (30 steps → {shorter})" in line
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()} == files


def test_the_same_length_in_another_unit_is_no_shorter(run: RunDir, small_config: Path) -> None:
    for same in ("30 steps", "960 examples", "0.6 epochs"):
        run.check_same(load(small_config, [f"train.length={same}"]), epoch_examples=1600)


def test_a_longer_length_reschedules_the_learning_rate_and_says_so(
    run: RunDir, small_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rates(run)[30] < 0.0002
    harness.train(load(small_config, ["train.length=60 steps"]), resume=run.path, only_training=True)
    shown = capsys.readouterr().out
    (line,) = [line for line in shown.splitlines() if line.startswith("length ")]
    for fact in (
        "30 steps → 60 steps",
        "rescheduled",
        "0.00158 from step 30",
        "linear",
        "zero at step 60",
    ):  # 0.003 · (1 - 27/57)
        assert fact in line
    assert "exact to the bit" not in shown
    assert run.read_config() == load(small_config, ["train.length=60 steps"])
    assert run.read_summary()["steps"] == 60
    assert [row["step"] for row in run.read_metrics() if row["split"] == "validation"] == [15, 30, 45, 60]
    assert rates(run)[45] == pytest.approx(0.003 * (1 - 41 / 57))


def test_a_run_made_longer_at_a_constant_rate_is_the_long_run(small_config: Path, tmp_path: Path) -> None:
    def config(steps: int) -> harness.config.Config:
        return load(small_config, [f"train.length={steps} steps", "schedule.name=constant"])

    whole, parts = RunDir(tmp_path / "whole"), RunDir(tmp_path / "parts")
    harness.train(config(40), whole.path, quiet=True, only_training=True)
    harness.train(config(20), parts.path, quiet=True, only_training=True)
    harness.train(config(40), resume=parts.path, quiet=True, only_training=True)
    np.testing.assert_equal(weights(parts, 40), weights(whole, 40))


def test_killed_right_after_it_was_made_longer_it_goes_on(small_config: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    harness.train(load(small_config), path, quiet=True, only_training=True)
    run = RunDir(path)
    longer = load(small_config, ["train.length=45 steps"])
    run.begin(longer)  # all that a run leaves of the new length that dies before its next checkpoint
    harness.train(longer, resume=path, quiet=True, only_training=True)
    assert run.read_summary()["steps"] == 45


@pytest.mark.parametrize(
    ("length", "words"),
    [
        ("20 steps", "train.length (30 steps → 20 steps)"),
        ("0.1 epochs", "train.length (30 steps → 0.1 epochs)"),
        ("ten", "--length: train.length: write a number and a unit"),
    ],
)
def test_a_length_that_is_none_or_too_short_changes_nothing(
    call: Callable[..., Result], run: RunDir, length: str, words: str
) -> None:
    before = (run.config_file.read_bytes(), run.summary_file.read_bytes(), run.metrics_file.read_bytes())
    result = call("resume", run.path, "--length", length)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert words in result.stderr
    assert (run.config_file.read_bytes(), run.summary_file.read_bytes(), run.metrics_file.read_bytes()) == before


@pytest.mark.parametrize("command", ["evaluate", "visualize"])
def test_a_run_in_training_is_called_that(call: Callable[..., Result], run: RunDir, command: str) -> None:
    run.write_summary({"status": "running"})
    holder = RunDir(run.path)
    holder.lock()
    try:
        result = call(command, run.path)
    finally:
        holder.unlock()
    assert result.exit_code == 2
    assert "is still training (step 30)" in result.stderr
    assert "no trained model yet; resume with" in call(command, run.path).stderr
