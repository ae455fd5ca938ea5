"""`harness chaos` itself: every fault fires, and every run ends as the undisturbed one."""

import json
import subprocess
from pathlib import Path

import pytest

from harness.supervision.chaos import step_at

SETTINGS = [
    "data.shift=1",
    "train={length: 1000 steps, global_batch: 25}",
    "schedule={name: constant, warmup: 0 steps}",
    "evaluate={every: 50 steps}",
    "checkpoint={every: 50 steps, keep: 99}",
]


def test_a_fault_comes_where_a_run_tells_its_step_and_training_is_left() -> None:
    assert step_at(0.5, [100, 200, 300, 400], 400) == 200
    assert step_at(0.9, [100, 200, 300, 400], 400) == 300
    assert step_at(0.4, [200, 400], 400) == 160


@pytest.mark.slow
def test_every_fault_of_the_chaos_command(script: Path, small_config: Path, tiny_model: str, tmp_path: Path) -> None:
    sets = [word for value in (*SETTINGS, tiny_model) for word in ("--set", value)]
    # With this seed no fault comes in the last quarter, which such a model trains in a moment.
    command: list[str | Path] = [script, "chaos", small_config, *sets, "--seed", "5", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    outcomes = {outcome["fault"]: outcome for outcome in json.loads(ended.stdout)}
    assert list(outcomes) == ["kill", "term", "stop", "nan", "torn-checkpoint", "disk-full"]
    assert all(
        outcome["fired"] and outcome["as_expected"] and outcome["hash_equal"] for outcome in outcomes.values()
    ), ended.stdout
    assert ended.returncode == 0


POOLED = """
import keras

def net(image_shape, classes):
    layers = [keras.Input(image_shape), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(classes)]
    return keras.Sequential(layers)
"""


@pytest.mark.slow
def test_a_disk_full_of_checkpoints_smaller_than_a_summary(script: Path, small_config: Path, tmp_path: Path) -> None:
    (tmp_path / "pooled_of_test.py").write_text(POOLED)
    sets = [
        word
        for value in (*SETTINGS, "model={name: pooled_of_test:net}", "optimizer={name: sgd, momentum: 0}")
        for word in ("--set", value)
    ]
    command: list[str | Path] = [script, "chaos", small_config, *sets, "--faults", "disk-full", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (run,) = tmp_path.glob("runs/*/disk-full")
    checkpoint = next(run.glob("checkpoints/*.safetensors"))
    assert checkpoint.stat().st_size // 2 < (run / "summary.json").stat().st_size
