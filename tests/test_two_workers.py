"""Two real worker processes on this machine train what one process trains."""

import json
import os
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from harness.run_dir import RunDir

pytestmark = pytest.mark.slow

SETTINGS = [
    "data.shift=1",
    "train={length: 50 steps, global_batch: 25}",  # 13 rows for one worker, 12 and a padding row for the other
    "optimizer={name: sgd, learning_rate: 0.01, momentum: 0.9}",
    "schedule={name: constant, warmup: 0 steps}",
    "evaluate={every: 20 steps, batch: 7}",
    "checkpoint.every=20 steps",
]


@pytest.fixture(scope="module")
def command(script: Path, small_config: Path) -> list[str]:
    return [str(script), "train", str(small_config), *(word for value in SETTINGS for word in ("--set", value))]


@pytest.fixture(scope="module")
def alone(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """The run of one process."""
    path = tmp_path_factory.mktemp("alone") / "run"
    ended = subprocess.run([*command, "--run-dir", path], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return RunDir.open(path)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def workers(command: list[str], folders: list[Path]) -> list[subprocess.CompletedProcess[str]]:
    """Run a worker in each folder, with `--run-dir run` there, to the end of all."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(folders))]
    processes = []
    try:
        for index, folder in enumerate(folders):
            task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            processes.append(
                subprocess.Popen(
                    [*command, "--run-dir", "run"],
                    cwd=folder,
                    env={**os.environ, "TF_CONFIG": json.dumps(task)},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        outputs = [process.communicate(timeout=300) for process in processes]
        return [
            subprocess.CompletedProcess(process.args, process.returncode, *output)
            for process, output in zip(processes, outputs, strict=True)
        ]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_two_workers_train_what_one_process_trains(command: list[str], alone: RunDir, tmp_path: Path) -> None:
    chief, other = tmp_path / "chief", tmp_path / "other"
    chief.mkdir()
    other.mkdir()
    for ended in workers(command, [chief, other]):
        assert ended.returncode == 0, ended.stderr
    assert not list(other.iterdir())  # only the chief writes

    together = RunDir.open(chief / "run")
    summary, expected = together.read_summary(), alone.read_summary()
    assert (summary["workers"], summary["replicas"], summary["steps"]) == (2, 2, 50)
    for split in ("validation", "test"):
        assert summary[split]["accuracy"] == expected[split]["accuracy"]
        assert summary[split]["examples"] == expected[split]["examples"]
        assert summary[split]["loss"] == pytest.approx(expected[split]["loss"], rel=1e-4)
    one, two = (safetensors.numpy.load_file(run.checkpoints_dir / "step-50.safetensors") for run in (alone, together))
    assert one.keys() == two.keys()
    for name in one:
        if name.startswith("model/"):
            assert np.linalg.norm(two[name] - one[name]) < 1e-5 * np.linalg.norm(one[name]), name
