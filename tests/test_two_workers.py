"""Two real worker processes on this machine train what one process trains."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import harness
from harness.config import load
from harness.runs.run_dir import RunDir
from harness.training.checkpoint import steps
from tests.processes import Forked, workers

pytestmark = pytest.mark.slow

SETTINGS = [
    "data.shift=1",
    "train={length: 50 steps, global_batch: 25}",  # 13 rows for one worker, 12 and a padding row for the other
    "optimizer={name: sgd, learning_rate: 0.01, momentum: 0.9}",
    "schedule={name: constant, warmup: 0 steps}",
    "evaluate={every: 20 steps, batch: 7}",
    "checkpoint.every=20 steps",
    "insight={methods: [], filters: false}",
]


@pytest.fixture(scope="module")
def command(small_config: Path) -> list[str]:
    return ["train", str(small_config), *(word for value in SETTINGS for word in ("--set", value))]


@pytest.fixture(scope="module")
def alone(small_config: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """The run of one process: this one."""
    path = tmp_path_factory.mktemp("alone") / "run"
    run = harness.train(load(small_config, SETTINGS), path, quiet=True, with_report=False)
    assert run is not None
    return run


def ends(processes: list[Forked]) -> list[tuple[int | None, str]]:
    """Exit code and standard error of each."""
    errors = [process.communicate(timeout=300)[1] for process in processes]
    return [(process.returncode, error) for process, error in zip(processes, errors, strict=True)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Where the chief and the other worker stand."""
    return [tmp_path_factory.mktemp("chief"), tmp_path_factory.mktemp("other")]


@pytest.fixture(scope="module")
def stopped(command: list[str], folders: list[Path]) -> list[tuple[int | None, str]]:
    """How the two workers of a run have ended of which the second got a signal."""
    with workers([[*command, "--run-dir", "run"]] * 2, folders) as (chief, other):
        assert chief.stdout
        next(line for line in chief.stdout if "  validation  " in line)
        other.send_signal(signal.SIGTERM)
        return ends([chief, other])


@pytest.fixture(scope="module")
def stopped_at(stopped: list[tuple[int | None, str]], folders: list[Path]) -> int:
    """The step of that."""
    run = RunDir.open(folders[0] / "run")
    assert run.read_summary()["status"] == "stopped"
    return steps(run.checkpoints_dir)[-1]


@pytest.fixture(scope="module")
def together(command: list[str], folders: list[Path], stopped_at: int) -> RunDir:
    """The same run, to its end: again by two workers, which need the chief's disk only."""
    with workers([[*command, "--run-dir", "run", "--resume", "auto"]] * 2, folders) as processes:
        for code, error in ends(processes):
            assert code == 0, error
    return RunDir.open(folders[0] / "run")


def test_a_signal_to_one_worker_stops_both(stopped: list[tuple[int | None, str]], stopped_at: int) -> None:
    (code, error), (other_code, other_error) = stopped
    assert (code, other_code) == (143, 143), error + other_error
    assert 20 <= stopped_at < 50
    assert f"stopped at step {stopped_at}" in error
    assert f"stopped at step {stopped_at}" in other_error
    assert "nowhere" not in other_error  # it has no run directory to name


def weights(run: RunDir) -> dict[str, Any]:
    return safetensors.numpy.load_file(run.checkpoints_dir / "step-50.safetensors")


def test_two_workers_train_what_one_process_trains(alone: RunDir, together: RunDir) -> None:
    """Bit for bit what two that nobody stops train: tests/supervision/test_launch.py."""
    summary, expected = together.read_summary(), alone.read_summary()
    assert (summary["workers"], summary["replicas"], summary["steps"]) == (2, 2, 50)
    for split in ("validation", "test"):
        assert summary[split]["accuracy"] == expected[split]["accuracy"]
        assert summary[split]["examples"] == expected[split]["examples"]
        assert summary[split]["loss"] == pytest.approx(expected[split]["loss"], rel=1e-4)
    one, two = weights(alone), weights(together)
    assert one.keys() == two.keys()
    for name in one:
        if name.startswith("model/"):
            assert np.linalg.norm(two[name] - one[name]) < 1e-5 * np.linalg.norm(one[name]), name


def test_only_the_chief_writes(together: RunDir, folders: list[Path]) -> None:
    assert [entry.name for entry in folders[0].iterdir()] == ["run"]
    assert together.report_file.is_file()
    assert not list(folders[1].iterdir())
