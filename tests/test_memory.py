"""What gradient accumulation is for: a large global batch in the memory of a small one, measured in real processes."""

from pathlib import Path

import pytest

from harness.runs.run_dir import RunDir
from tests.processes import completed

pytestmark = pytest.mark.slow


def peak(run_dir: Path, *settings: str) -> int:
    """The most bytes that a training process had in memory at once, according to its summary."""
    common = ["data.validation=0", "train.length=2 steps", "schedule.warmup=0 steps"]
    sets = [word for setting in (*common, *settings) for word in ("--set", setting)]
    ended = completed("train", "mnist", "--only-training", "--run-dir", run_dir, *sets)
    assert ended.returncode == 0, ended.stderr
    summary = RunDir.open(run_dir).read_summary()
    assert summary["steps"] == 2
    bytes_in_memory: int = summary["peak_memory_bytes"]
    return bytes_in_memory


def test_a_large_batch_needs_the_memory_of_its_micro_batches(tmp_path: Path) -> None:
    small = peak(tmp_path / "small", "train.global_batch=256")
    large = peak(tmp_path / "large", "train.global_batch=10000", "train.micro_batch=256")
    assert large <= 1.2 * small
