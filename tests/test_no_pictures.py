"""A training that can't be pictured has not failed: it says what is left out, and why."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from harness.runs.run_dir import RunDir
from tests.conftest import Result


def test_a_warning_says_why_there_is_no_report(
    call: Callable[..., Result], small_config: Path, tiny_model: str, tmp_path: Path
) -> None:
    settings = [tiny_model, "insight.methods=[gradcam]", "train.length=4 steps"]  # which needs feature maps
    arguments = [word for setting in settings for word in ("--set", setting)]
    ended = call("train", small_config, "--run-dir", tmp_path / "run", "--quiet", *arguments)
    assert ended.exit_code == 0, ended.stderr
    (said,) = ended.stderr.splitlines()
    assert said.startswith("warning: ")
    assert "the pictures and the report are left out: " in said
    assert "gradcam" in said
    run = RunDir(tmp_path / "run")
    assert said in run.log_file.read_text()
    assert run.read_summary()["status"] == "completed"
    assert run.read_summary()["test"]["examples"] == 500
    assert run.model_file.exists()
    assert not run.report_file.exists()


def test_images_of_many_bands_are_trained_on(call: Callable[..., Result], tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (120, 28, 28, 13), np.uint8)
    labels = np.arange(60) % 3
    np.savez(tmp_path / "bands.npz", x_train=images[:60], y_train=labels, x_test=images[60:], y_test=labels)
    (tmp_path / "bands.yaml").write_text(
        f"data: {{source: {tmp_path}/bands.npz, validation: 20}}\ntrain: {{length: 2 steps, global_batch: 8}}\n"
    )
    ended = call("train", tmp_path / "bands.yaml", "--run-dir", tmp_path / "run", "--quiet", "--only-training")
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert RunDir(tmp_path / "run").read_summary()["status"] == "completed"
