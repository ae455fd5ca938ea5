"""What `harness doctor` finds on this very machine, and on one made to look broken."""

import json
import os
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from harness.machine.doctor import MNIST, Finding, examine


def found(name: str, **looked_at: Any) -> Finding:
    (finding,) = (finding for finding in examine(**looked_at) if finding.name == name)
    return finding


def test_a_sound_machine_has_no_problem_and_its_versions_are_named(call: Callable[..., Any]) -> None:
    result = call("doctor", "--json")
    assert result.exit_code == 0, result.stdout
    answer = json.loads(result.stdout)
    assert answer["ok"] is True
    values = {finding["name"]: finding["found"] for finding in answer["findings"]}
    assert values["tensorflow"] == metadata.version("tensorflow")
    assert values["keras"] == metadata.version("keras")
    assert values["Keras backend"] == "tensorflow"
    assert values["MNIST"].startswith("intact")


def test_the_table_has_a_line_for_each_finding(call: Callable[..., Any]) -> None:
    lines = call("doctor").stdout.splitlines()
    assert len(lines) == len(examine())
    assert all(line.startswith("ok") for line in lines)


def test_a_damaged_or_missing_file_of_data_is_a_problem_with_a_fix(tmp_path: Path) -> None:
    damaged = tmp_path / "mnist.npz"
    damaged.write_bytes(MNIST.read_bytes()[:-1])
    for path, what in ((damaged, "damaged"), (tmp_path / "gone.npz", "missing")):
        mnist = found("MNIST", mnist=path)
        assert mnist.found == what
        assert mnist.problem is not None
        assert mnist.fix is not None
        assert mnist.fix.startswith("git -C ") or "-m pip install --force-reinstall" in mnist.fix


def test_an_unsupported_version_is_a_problem_with_a_fix_and_exit_1(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "3.11.0" if name == "keras" else real(name))
    keras = found("keras")
    assert keras.problem is not None
    assert keras.fix is not None
    assert "-m pip install 'keras" in keras.fix
    result = call("doctor")
    assert result.exit_code == 1
    assert "problem  keras" in result.stdout
    assert f"fix: {keras.fix}" in result.stdout


def test_a_missing_package_is_a_problem_with_a_fix(without_package: Callable[[str], None]) -> None:
    without_package("tf-keras-vis")
    package = found("tf-keras-vis")
    assert package.found == "not installed"
    assert package.fix is not None
    assert "-m pip install 'tf-keras-vis" in package.fix


@pytest.fixture
def two_gpus_for_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An nvidia-smi that lists two GPUs, which TensorFlow doesn't see."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: Some GPU (UUID: a)'\necho 'GPU 1: Some GPU (UUID: b)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind=None: [])


@pytest.mark.usefixtures("two_gpus_for_the_driver")
def test_gpus_that_tensorflow_does_not_see_are_a_problem_with_a_fix() -> None:
    libraries = {"CUDA runtime": "libno-such-cudart.so"}
    devices = found("devices", libraries=libraries)
    assert devices.problem == "nvidia-smi shows 2 GPUs and TensorFlow sees none"
    assert devices.fix is not None
    assert "-m pip install 'tensorflow[and-cuda]" in devices.fix
    assert found("CUDA runtime", libraries=libraries).problem == "libno-such-cudart.so can't be loaded"


@pytest.mark.usefixtures("two_gpus_for_the_driver")
def test_gpus_hidden_on_purpose_are_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    devices = found("devices")
    assert devices.problem is None
    assert "CUDA_VISIBLE_DEVICES" in devices.found


def test_another_keras_backend_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras.config.backend", lambda: "jax")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert found("Keras backend").fix == "unset KERAS_BACKEND"


def test_a_runs_folder_that_is_a_file_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").touch()
    assert found("runs go to").problem is not None


def test_no_command_names_a_package_that_may_be_a_stranger_s() -> None:
    """A registry knows another `harness`: what is printed asks for what is needed by its own name."""
    from harness.machine import requirements
    from harness.runs import provenance

    assert "submitit>=" in requirements.install_slurm()
    assert "tensorflow[and-cuda]" in requirements.install_cuda()
    for command in (requirements.install_slurm(), requirements.install_cuda()):
        assert "harness" not in command.rpartition(" pip install ")[2]
    assert provenance.versions()["harness"] == metadata.version("mirrored-harness")
