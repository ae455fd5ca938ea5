"""What one doesn't want is left out, and the rest is there."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.runs.run_dir import RunDir
from tests.conftest import Result


@pytest.fixture
def short(small_data: Path, tmp_path: Path) -> tuple[object, ...]:
    with np.load(small_data) as file:
        np.savez(tmp_path / "data.npz", **{name: file[name][:200] for name in file.files})
    (tmp_path / "short.yaml").write_text(
        f"data: {{source: {tmp_path}/data.npz, validation: 40}}\n"
        "train: {length: 4 steps, global_batch: 16}\n"
        "insight: {methods: [], filters: false}\n"
    )
    return ("train", tmp_path / "short.yaml", "--run-dir", tmp_path / "run")


@pytest.mark.slow
def test_no_report_then_one_without_maps(
    call: Callable[..., Result], short: tuple[object, ...], tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "run")
    trained = call(*short, "--no-report", "--set", "train.micro_batch=99")
    assert trained.exit_code == 0, trained.stderr
    assert "train.micro_batch: 99 is more than the 16 examples" in trained.stderr
    for fact in ("4 = 0.4 epochs of 10.0 steps", "warm-up 1, then linear"):
        assert fact in trained.stdout
    assert run.model_file.exists()
    assert run.read_summary()["test"]["examples"] == 200
    assert not run.report_file.exists()
    assert not run.figures_dir.exists()
    assert "nothing to do" in call(*short, "--resume", "auto", "--no-report").stdout

    resumed = call(*short, "--resume", "auto")
    assert (resumed.exit_code, resumed.stderr) == (0, "")
    page = run.report_file.read_text()
    assert "No maps were asked for (insight.methods)." in page
    assert "<script" not in page
    assert {path.stem for path in run.figures_dir.iterdir()} == {"training-curves", "confusion-matrix", "reliability"}
    assert json.loads(run.insight_file.read_text())["methods"] == {}

    asked = call("visualize", run.path, "--images", "3")
    assert asked.exit_code == 2
    assert "insight.methods is empty" in asked.stderr
    assert run.report_file.read_text() == page

    other = call("evaluate", run.path)
    assert other.stderr == ""
    with np.load(tmp_path / "data.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "data.npz", **{**arrays, "y_test": (arrays["y_test"] + 1) % 10})
    changed = call("evaluate", run.path)
    assert changed.exit_code == 0
    assert "data.npz has changed" in changed.stderr


@pytest.mark.slow
def test_another_model_of_the_same_name_does_not_lose_its_pictures(
    call: Callable[..., Result],
    completed_run: tuple[Path, Result],
    small_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with np.load(small_data) as file:
        np.savez("few.npz", images=file["x_test"][:60], labels=file["y_test"][:60])
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my.keras").write_bytes((completed_run[0] / "model.keras").read_bytes())
    bare = ("--data", "few.npz", "--set", "insight.methods=[]", "--no-filters")
    first = call("visualize", "--model", "a/my.keras", *bare)
    assert first.exit_code == 0, first.stderr
    second = call("visualize", "--model", "b/my.keras", *bare)
    assert second.exit_code == 2
    for fact in (f"my-insight belongs to another model, {tmp_path}/a/my.keras", "--out"):
        assert fact in second.stderr
    assert call("visualize", "--model", "a/my.keras", *bare).exit_code == 0
