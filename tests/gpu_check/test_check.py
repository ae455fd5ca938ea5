"""The whole check with real processes, on parts of the CPU in the place of cards, and on a card that is none."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import harness
from harness.config import load
from harness.errors import DeviceError
from harness.gpu_check import measuring
from harness.gpu_check.check import check
from harness.gpu_check.plan import Machine, Plan, Precision, Seconds, SpeedSetting, precisions
from harness.gpu_check.report import Report
from harness.gpu_check.speed import python_with

FLOAT32 = precisions()[0]
UNKNOWN = Precision("float3", ("train.precision=float3",))


def tiny(config: Path, **changed: Any) -> Plan:
    """A plan for two logical CPUs, with one precision that there is not."""
    planned: dict[str, Any] = {
        "machine": Machine("logical_cpus", 2),
        "precisions": (FLOAT32, UNKNOWN),
        "replicas": (2,),
        "scaling": (),
        "batches": (16, 32),
        "speed": (SpeedSetting(16, UNKNOWN, "off"), SpeedSetting(32, FLOAT32, "off")),
        "jit": "off",
        "weak_batch": 16,
        "strong_batch": 32,
        "peers": False,
        "config": str(config),
        "steps": 80,
        "at_once": 2,
        "repeats": 2,
        "chunk_seconds": 0.05,
        "seconds": Seconds(trainings=400, replicas=200, speed=200, scaling=200),
    }
    return Plan(**{**planned, **changed})


TINY_NET = """
import keras
def net(image_shape, classes):
    pixels = keras.Input(image_shape)
    scaled = keras.layers.Rescaling(1 / 255)(keras.layers.Flatten()(pixels))
    return keras.Model(pixels, keras.layers.Dense(classes)(scaled))
"""


@pytest.fixture(scope="module")
def checked(small_config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path, list[str]]:
    folder = tmp_path_factory.mktemp("check")
    (folder / "tiny_net.py").write_text(TINY_NET)
    config = folder / "small.yaml"
    config.write_text(small_config.read_text() + "model: {name: tiny_net:net}\n")
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        return check(tiny(config), folder / "out", said.append), folder / "out", said


@pytest.mark.slow
def test_what_holds_on_this_machine_is_found_to_hold(checked: tuple[Report, Path, list[str]]) -> None:
    report, _, _ = checked
    passed = {each.name: each.passed for each in report.checks}
    assert passed.pop("NCCL at work") is None
    assert passed.pop("ten steps in float3") is False
    assert len(passed) == 5
    assert all(passed.values()), report.checks
    assert all(each.how.startswith(("harness ", "SIGKILL")) for each in report.checks if each.passed)
    assert report.finished


@pytest.mark.slow
def test_a_failure_is_told_and_keeps_nothing_else_from_being_measured(
    checked: tuple[Report, Path, list[str]],
) -> None:
    report, _, _ = checked
    failed, measured = report.one
    assert "float3" in failed["problem"]
    assert failed["images_per_second"] is None
    assert (measured["global_batch"], measured["problem"]) == (32, None)
    assert measured["images_per_second"]["median"] > 0
    assert [line.partition(":")[0] for line in report.failed()] == [
        "ten steps in float3",
        "speed on 1, float3, batch 16, XLA off",
    ]


@pytest.mark.slow
def test_both_files_hold_what_was_found(checked: tuple[Report, Path, list[str]]) -> None:
    report, out, said = checked
    found = json.loads((out / "gpu-check.json").read_text())
    assert found["finished"] is True
    assert found["failed"] == report.failed()
    text = (out / "gpu-check.md").read_text()
    for table in report.tables().values():
        assert f"## {table.title}" in text
        assert any(table.title in line for line in said)


@pytest.mark.slow
def test_several_devices_are_measured_and_have_their_efficiency(
    small_config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = tiny(small_config, scaling=(2,))
    settings = [SpeedSetting(16, FLOAT32, "off"), SpeedSetting(32, FLOAT32, "off"), SpeedSetting(32, FLOAT32, "off", 2)]
    assignments = [setting.assignments(plan.machine) for setting in settings]
    config = {"config": str(small_config), "seconds": 1e9, "repeats": 1, "chunk_seconds": 0.01}
    measuring.main(config | {"settings": assignments[1:]})
    one, two = (json.loads(line)["measured"] for line in capfd.readouterr().out.splitlines())
    assert (one["replicas"], two["replicas"]) == (1, 2)
    assert one["images_per_second"]["median"] > 0 < two["images_per_second"]["median"]

    def row(setting: SpeedSetting, speed: float) -> dict[str, Any]:
        numbers = {"step_seconds": {"median": 1.0}, "compile_seconds": 1.0, "peak_memory_bytes": 1}
        found = {"replicas": setting.replicas, "global_batch": setting.global_batch, "precision": "float32"}
        spread = {"median": speed, "min": speed, "max": speed}
        return found | numbers | {"jit": "off", "images_per_second": spread, "problem": None, "left_out": False}

    rows = [row(setting, speed) for setting, speed in zip(settings, (100.0, 150.0, 180.0), strict=True)]
    report = Report(plan, one=rows[:2], several=rows[2:])
    report.write(tmp_path)
    found = json.loads((tmp_path / "gpu-check.json").read_text())
    assert [each["global_batch"] for each in found["weak_scaling"]] == [16, 32]
    assert [each["efficiency"] for each in found["weak_scaling"]] == pytest.approx([1, 180 / 100 / 2])
    assert [each["global_batch"] for each in found["strong_scaling"]] == [32, 32]
    assert [each["efficiency"] for each in found["strong_scaling"]] == pytest.approx([1, 180 / 150 / 2])
    for title in ("Weak scaling", "Strong scaling"):
        assert f"## {title}" in (tmp_path / "gpu-check.md").read_text()


@pytest.mark.slow
def test_an_interrupt_leaves_what_was_found_so_far(small_config: Path, tmp_path: Path) -> None:
    def say(line: str) -> None:
        if "ten-steps-float3 " in line:  # which ends first of all
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        check(tiny(small_config, precisions=(UNKNOWN,), steps=100_000, at_once=4), out, say)
    found = json.loads((out / "gpu-check.json").read_text())
    assert found["finished"] is False
    passed = {each["name"]: each["passed"] for each in found["checks"]}
    assert passed.pop("ten steps in float3") is False
    assert set(passed.values()) == {None}
    assert "NOT FINISHED" in (out / "gpu-check.md").read_text()


@pytest.mark.slow
def test_a_process_that_takes_too_long_is_a_finding(small_config: Path, tmp_path: Path) -> None:
    seconds = Seconds(trainings=0.2, replicas=0.2, speed=0.2, scaling=0.2)
    report = check(tiny(small_config, scaling=(2,), seconds=seconds), tmp_path / "out", lambda line: None)
    assert report.finished
    assert {each.passed for each in report.checks if each.name != "NCCL at work"} == {False}
    assert all("0.2 s" in row["problem"] for row in (*report.one, *report.several))
    assert len(report.one) == 2
    assert [(row["replicas"], row["global_batch"]) for row in report.several] == [(2, 32)], "measured once for both"


def test_what_no_time_is_left_for_is_left_out_and_no_failure(
    small_config: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job = {"config": str(small_config), "settings": [[]], "seconds": 0, "repeats": 1, "chunk_seconds": 0.05}
    measuring.main(job)
    row = json.loads(capfd.readouterr().out)
    assert (row["number"], row["measured"], row["left_out"]) == (0, None, True)


def test_without_a_gpu_it_is_one_line_and_nothing_is_written(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in (["--quick"], ["--out", "there"]):
        ended = call("gpu-check", *arguments)
        assert ended.exit_code == 2
        assert "needs a GPU" in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert not list(tmp_path.iterdir())


@pytest.fixture
def a_card_for_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An nvidia-smi that lists a card, which TensorFlow doesn't find."""
    if tf.config.list_physical_devices("GPU") or os.path.exists("/dev/nvidiactl"):
        pytest.skip("needs a machine without a GPU")
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: Some GPU (UUID: a)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.slow
@pytest.mark.usefixtures("a_card_for_the_driver")
def test_where_tensorflow_cannot_be_imported_every_check_fails_and_is_written_down(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tensorflow.py").write_text("raise ImportError('libcudart.so.12: no such file')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"), prepend=os.pathsep)
    out = tmp_path / "out"
    ended = call("gpu-check", "--quick", "--out", out)
    assert ended.exit_code == 1, ended
    found = json.loads((out / "gpu-check.json").read_text())
    assert found["finished"] is True
    assert found["quick"] is True
    assert not any(each["passed"] for each in found["checks"])
    assert len(found["speed"]) == 3
    assert not any(row["images_per_second"] for row in found["speed"])
    assert any("libcudart.so.12" in line for line in found["failed"])
    for line in found["failed"]:
        assert line in ended.stdout
    assert "Traceback" not in ended.stderr


@pytest.mark.usefixtures("a_card_for_the_driver")
def test_a_card_that_tensorflow_cannot_use_is_not_replaced_by_the_processor(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every process of a check asks for its cards in these words."""
    settings = Machine("gpus", 1).replicas(1)
    with pytest.raises(DeviceError):
        harness.train(load("mnist", settings), tmp_path / "run", quiet=True, only_training=True)
    job = {"config": "mnist", "settings": [settings], "seconds": 1e9, "repeats": 1, "chunk_seconds": 0.05}
    measuring.main(job)
    row = json.loads(capfd.readouterr().out)
    assert row["measured"] is None
    assert "GPU" in row["problem"]
    assert row["left_out"] is False


@pytest.mark.usefixtures("a_card_for_the_driver")
def test_a_folder_with_other_files_is_left_alone(call: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    ended = call("gpu-check", "--out", tmp_path / "mine")
    assert ended.exit_code == 2
    assert "--out" in ended.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_the_checking_process_has_no_tensorflow() -> None:
    code = (
        "import harness.gpu_check.check, sys; sys.exit(bool({'tensorflow', 'keras', 'torch', 'jax'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_peer_runs_with_the_first_python_that_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert python_with("json") == sys.executable
    assert python_with("no_such_framework") is None
    without, having = tmp_path / "without", tmp_path / "having"
    for folder, code in ((without, 1), (having, 0)):
        folder.mkdir()
        (folder / "python3").write_text(f"#!/bin/sh\nexit {code}\n")
        (folder / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", f"{without}{os.pathsep}{having}")
    assert python_with("no_such_framework") == str(having / "python3")
