"""A GPU that the driver knows and TensorFlow can't use is one warning of every command that needs devices."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.machine import gpus
from tests.conftest import Result
from tests.processes import completed

needs_no_gpu = pytest.mark.skipif(bool(shutil.which("nvidia-smi")), reason="TensorFlow may use this machine's GPUs")
SHORT = ["--set", "train.length=2 steps", "--set", "schedule.warmup=0 steps"]


class Machine:
    """A PATH with an nvidia-smi that lists `cards` GPUs, and that counts how often it is asked; and nothing else."""

    def __init__(self, folder: Path, cards: int) -> None:
        self.asked = folder / "asked"
        self.asked.touch()
        self.environment = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
        self.environment["PATH"] = str(folder)
        lines = "".join(f"echo 'GPU {number}: Some GPU (UUID: {number})'\n" for number in range(cards))
        program = folder / "nvidia-smi"
        program.write_text(f"#!/bin/sh\necho asked >> {self.asked}\n{lines}")
        program.chmod(0o755)

    def run(self, *arguments: object, **environment: str) -> Result:
        ended = completed(*arguments, env=self.environment | environment)
        return Result(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Of one GPU, for which nothing of CUDA is installed."""
    (tmp_path / "bin").mkdir()
    return Machine(tmp_path / "bin", cards=1)


def assert_one_warning(result: Result) -> None:
    everything = (result.stdout + result.stderr).splitlines()
    assert [line for line in everything if "nvidia-smi" in line] == [result.stderr.splitlines()[0]], result
    warning = result.stderr.splitlines()[0]
    assert warning.startswith("warning: ")
    assert "libcudnn.so.9" in warning
    assert "-m pip install 'tensorflow[and-cuda]" in warning


@needs_no_gpu
@pytest.mark.slow
def test_training_warns_and_the_log_has_it(machine: Machine, small_config: Path, tmp_path: Path) -> None:
    result = machine.run("train", small_config, *SHORT, "--run-dir", tmp_path / "run", "--quiet", "--only-training")
    assert result.exit_code == 0
    assert_one_warning(result)
    assert result.stderr in (tmp_path / "run" / "log.txt").read_text()
    assert machine.asked.read_text().count("asked") == 1


@needs_no_gpu
@pytest.mark.slow
def test_commands_that_compute_in_their_own_process_warn(
    machine: Machine, small_config: Path, completed_run: tuple[Path, Result], tmp_path: Path
) -> None:
    run, flat = shutil.copytree(completed_run[0], tmp_path / "run"), tmp_path / "flat.npz"
    np.savez(flat, images=np.zeros((2, 5), np.uint8), labels=np.zeros(2, int))
    for command in (
        ["train", small_config, "--dry-run"],
        ["bench", small_config, "--quick", "--repeats", 1],
        ["evaluate", run],
        ["visualize", "--model", run / "model.keras", "--data", flat],
        ["compare", completed_run[0], run, "--out", tmp_path / "compare", "--set", "insight.images=1"],
    ):
        result = machine.run(*command)
        assert_one_warning(result)
        assert "Traceback" not in result.stderr


@needs_no_gpu
@pytest.mark.slow
def test_commands_that_start_processes_warn_once_for_all_of_them(
    machine: Machine, small_config: Path, tmp_path: Path
) -> None:
    launched = ["--run-dir", tmp_path / "run", "--only-training"]
    cpus = ["--set", "cluster.logical_cpus=2"]
    result = machine.run("launch", "--workers", 2, "--", "train", small_config, *SHORT, *cpus, *launched)
    assert result.exit_code == 0, result
    assert_one_warning(result)


@needs_no_gpu
@pytest.mark.slow
def test_commands_that_measure_warn_before_they_start_anything(
    machine: Machine, small_config: Path, tmp_path: Path
) -> None:
    missing = f"data.source={tmp_path}/missing.npz"  # so that they end at the first process
    for command in (
        ["bench", small_config, "--against", "train.jit=off", "--set", missing],
        ["chaos", small_config, "--set", missing],
        ["scale", "run", "mnist_scaling_quick", "--executor", "slurm", "--dir", tmp_path / "experiment"],
        ["scale", "find-batch", small_config, "--memory", "1MiB"],
    ):
        result = machine.run(*command)
        assert result.exit_code != 0
        assert_one_warning(result)


@needs_no_gpu
@pytest.mark.parametrize("hidden", ["", "-1"])
def test_gpus_that_the_user_has_hidden_are_not_asked_for(machine: Machine, small_config: Path, hidden: str) -> None:
    result = machine.run("train", small_config, "--dry-run", CUDA_VISIBLE_DEVICES=hidden)
    assert (result.exit_code, result.stderr) == (0, "")
    assert machine.asked.read_text() == ""


@needs_no_gpu
def test_no_gpus_are_no_warning(small_config: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    result = Machine(tmp_path / "bin", cards=0).run("train", small_config, "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("visible", "hidden"), [(None, False), ("0", False), ("0,-1", False), ("", True), ("-1", True), ("-1,0", True)]
)
def test_hidden_is_what_cuda_takes_for_hidden(visible: str | None, hidden: bool) -> None:
    assert gpus.hidden({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}) is hidden


@pytest.mark.parametrize(("answer", "free"), [("echo 5120", 5 * 2**30), ("echo '[N/A]'", None), ("exit 6", None)])
def test_the_free_memory_of_a_gpu_is_what_nvidia_smi_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, free: int | None
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert gpus.memory_bytes("free", "0") == free
