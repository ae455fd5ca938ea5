"""A run knows its data by what they hold, not by where they lie."""

import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from harness.data import npz, sources
from harness.runs.run_dir import RunDir
from harness.training import checkpoint
from tests.conftest import Result

Call = Callable[..., Result]


@pytest.fixture
def data(small_data: Path, tmp_path: Path) -> dict[str, Any]:
    with np.load(small_data) as file:
        arrays = {name: file[name][:200] for name in file.files}
    np.savez(tmp_path / "data.npz", **arrays)
    return arrays


@pytest.fixture
def run(data: dict[str, Any], tmp_path: Path) -> RunDir:
    config = {
        "data": {"source": str(tmp_path / "data.npz"), "validation": 40},
        "train": {"length": "4 steps", "global_batch": 16},
        "checkpoint": {"every": "2 steps"},
    }
    trained = harness.train(config, run_dir=tmp_path / "run", quiet=True, only_training=True)
    assert trained
    return trained


@pytest.mark.slow
def test_a_resume_on_other_data_is_refused_or_accepted_on_request(
    call: Call, run: RunDir, data: dict[str, Any], tmp_path: Path
) -> None:
    resume = ("train", run.config_file, "--resume", run.path, "--only-training")
    own = sources.load(str(tmp_path / "data.npz")).sha256
    assert run.read_summary()["data_sha256"] == own
    newest = checkpoint.load_newest(run.checkpoints_dir, pytest.fail)
    assert newest is not None
    assert newest.header["data_sha256"] == own
    np.savez_compressed(tmp_path / "data.npz", **data)
    same = call(*resume)
    assert (same.exit_code, same.stderr) == (0, ""), "the same pixels and labels, written in another way"
    assert "exact to the bit" in same.stdout

    np.savez(tmp_path / "data.npz", **{**data, "y_train": (data["y_train"] + 1) % 10})
    refused = call(*resume)
    assert refused.exit_code == 2
    assert refused.stdout == ""
    (line,) = refused.stderr.splitlines()
    for fact in (f"{tmp_path}/data.npz has changed", "--data-changed"):
        assert fact in line
    assert run.read_summary()["data_sha256"] == own

    accepted = call(*resume, "--data-changed")
    assert accepted.exit_code == 0, accepted.stderr
    assert "at step 4, on changed data" in accepted.stdout
    assert "exact to the bit" not in accepted.stdout
    assert run.read_summary()["data_sha256"] == sources.load(str(tmp_path / "data.npz")).sha256 != own


def test_the_digest_takes_no_time() -> None:
    names = ("x_train", "y_train", "x_test", "y_test")
    with npz.opened(Path(str(resources.files("harness.data") / "mnist.npz")), "mnist") as file:
        assert file.zip is not None
        begun = time.process_time()
        npz.content_sha256(file.zip, names)
        assert time.process_time() - begun < 0.02


@pytest.mark.parametrize("name", ["x_train", "y_train", "x_test", "y_test"])
def test_any_value_changes_the_digest(data: dict[str, Any], tmp_path: Path, name: str) -> None:
    before = sources.load(str(tmp_path / "data.npz")).sha256
    data[name].flat[7] ^= 1
    np.savez(tmp_path / "data.npz", **data)
    assert sources.load(str(tmp_path / "data.npz")).sha256 != before


def test_data_that_do_not_fit_the_checkpoint_are_refused_before_anything_is_written(
    call: Call, run: RunDir, data: dict[str, Any], tmp_path: Path
) -> None:
    padded: dict[str, Any] = {
        name: np.pad(x, ((0, 0), (2, 2), (2, 2))) if x.ndim == 3 else x for name, x in data.items()
    }
    more_classes: dict[str, Any] = {name: np.where(x == 9, 10, x) if x.ndim == 1 else x for name, x in data.items()}
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()}
    for changed in (padded, more_classes):
        np.savez(tmp_path / "data.npz", **changed)
        refused = call("resume", run.path, "--data-changed")
        assert (refused.exit_code, refused.stdout) == (2, "")
        (line,) = refused.stderr.splitlines()
        assert "that fits this model and data" in line
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_compare_says_that_two_runs_were_trained_on_different_data(
    call: Call, run: RunDir, data: dict[str, Any], tmp_path: Path
) -> None:
    config = run.read_config()
    for name, shift in (("a", 0), ("b", 1)):
        np.savez(tmp_path / "data.npz", **{**data, "y_train": (data["y_train"] + shift) % 10})
        harness.train(config, run_dir=tmp_path / name, quiet=True, with_report=False)
    page = ("--out", tmp_path / "page", "--set", "insight.methods=[gradient]", "--set", "insight.images=1")
    compared = call("compare", tmp_path / "a", tmp_path / "b", *page)
    (line,) = compared.stderr.splitlines()
    assert line.startswith("warning: A and B ")
    assert "different data" in line
    assert line.removeprefix("warning: ") in (tmp_path / "page" / "compare.html").read_text()

    checkpoint = tmp_path / "a" / "checkpoints" / "step-2.safetensors"
    compared = call("compare", tmp_path / "a", checkpoint, *page)
    (line,) = compared.stderr.splitlines()
    assert "the content of" in line, "the same data then, which have changed since"
