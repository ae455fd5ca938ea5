import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.comparison.sides import open_sides
from harness.config import resolve
from harness.errors import DataError, RunError, UserError
from harness.runs.run_dir import RunDir


@pytest.fixture
def make_run(tmp_path: Path, small_data: Path) -> Callable[..., RunDir]:
    """A completed run's directory without anything in its files: what is refused here is refused by their names."""

    def make(name: str, source: Path = small_data, status: str = "completed") -> RunDir:
        run = RunDir(tmp_path / name)
        run.checkpoints_dir.mkdir(parents=True)
        run.begin(resolve({"data": {"source": str(source)}}))
        run.write_summary({"status": status})
        row = '"split": "validation", "loss": 1, "accuracy": 0.5'
        run.metrics_file.write_text(f'{{"step": 15, {row}}}\n{{"step": 30, {row}}}\n')
        run.model_file.touch()
        for step in (15, 30):
            (run.checkpoints_dir / f"step-{step}.safetensors").touch()
        return run

    return make


def told(error: type[UserError], a: Path, b: Path) -> str:
    with pytest.raises(error) as raised:
        open_sides(a, b)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_nothing_here_needs_tensorflow() -> None:
    code = "import harness.comparison.sides, sys; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_two_runs_and_a_checkpoint(make_run: Callable[..., RunDir]) -> None:
    one, two = make_run("one"), make_run("two")
    a, b = open_sides(one.path, two.checkpoints_dir / "step-15.safetensors")
    assert (a.name, b.name) == ("one", "two-step-15")
    assert (a.checkpoint, b.checkpoint) == (None, two.checkpoints_dir / "step-15.safetensors")
    assert [row["step"] for row in a.rows] == [15, 30]
    assert [row["step"] for row in b.rows] == [15], "its curve ends where it was saved"


def test_a_checkpoint_needs_no_finished_run_and_a_run_does(make_run: Callable[..., RunDir]) -> None:
    done, stopped = make_run("done"), make_run("stopped", status="stopped")
    open_sides(done.path, stopped.checkpoints_dir / "step-15.safetensors")
    assert "no trained model yet" in told(RunError, done.path, stopped.path)


def test_the_same_twice(make_run: Callable[..., RunDir], monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("one")
    checkpoint = run.checkpoints_dir / "step-15.safetensors"
    monkeypatch.chdir(run.path)
    for a, b in ((run.path, Path(".")), (checkpoint, Path("checkpoints/step-15.safetensors"))):
        assert "are the same" in told(RunError, a, b)
    open_sides(checkpoint, run.checkpoints_dir / "step-30.safetensors")
    open_sides(checkpoint, run.path)


def test_runs_go_by_their_names(
    make_run: Callable[..., RunDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("runs/one")
    make_run("runs/other")
    monkeypatch.chdir(tmp_path)
    run, checkpoint = open_sides(Path("oth"), Path("latest/checkpoints/step-15.safetensors"))
    assert (run.name, checkpoint.name) == ("other", "other-step-15")


def test_what_is_no_run_and_no_checkpoint(make_run: Callable[..., RunDir], tmp_path: Path) -> None:
    run = make_run("one")
    assert "is not a run directory" in told(RunError, run.path, tmp_path)
    assert "there is no run" in told(RunError, run.path, tmp_path / "nowhere")
    assert "neither a run directory nor a checkpoint" in told(RunError, run.path, run.model_file)
    missing = told(RunError, run.path, run.checkpoints_dir / "step-9.safetensors")
    assert "step-15.safetensors, step-30.safetensors" in missing
    assert "there is no run" in told(RunError, run.path, tmp_path / "a" / "b" / "step-9.safetensors")


def test_other_labels_or_images_are_another_test_set(make_run: Callable[..., RunDir], small_data: Path) -> None:
    run = make_run("one")
    arrays = dict(np.load(small_data))
    for name in ("y_test", "x_test"):
        changed = {**arrays, name: arrays[name].copy()}
        changed[name][0] = 3
        other = run.path / f"{name}.npz"
        np.savez(other, **changed)
        said = told(DataError, run.path, make_run(f"of-{name}", other).path)
        assert "different test sets" in said
        assert f"{name}.npz (500 images)" in said


def test_a_copy_of_the_data_is_the_same_test_set(
    make_run: Callable[..., RunDir], small_data: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.npz"
    copy.write_bytes(small_data.read_bytes())
    open_sides(make_run("one").path, make_run("two", copy).path)
