"""`harness scale run` as a user runs it: stopped, killed and gone on with, with a trial that can't begin."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.runs.run_dir import RunDir
from harness.scaling.tables.trials import read
from tests.processes import started

pytestmark = pytest.mark.slow


LINEAR = """
import keras
def linear(image_shape, classes):
    pixels = keras.Input(image_shape)
    scaled = keras.layers.Rescaling(1 / 255)(keras.layers.Flatten()(pixels))
    return keras.Model(pixels, keras.layers.Dense(classes)(scaled))
"""


@pytest.fixture
def quick(script: Path, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The shortest shipped experiment, on fewer rows and with a model that is quickly traced."""
    (tmp_path / "linear_model.py").write_text(LINEAR)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    settings = (
        f"data={{source: {small_data}, validation: 200}}",
        "model.name=linear_model:linear",
        "scale.target.at_least=0.6",
    )
    return [script, "scale", "run", "mnist_scaling_quick", *(word for each in settings for word in ("--set", each))]


def finished(folder: Path) -> dict[str, int]:
    """Each trial that is complete, with the time at which its summary was written."""
    runs = [RunDir(path) for path in folder.glob("trials/*/")]
    return {
        run.path.name: run.summary_file.stat().st_mtime_ns
        for run in runs
        if run.exists() and run.read_summary()["status"] == "completed"
    }


def until(condition: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def running_in(folder: Path) -> list[Path]:
    """Processes that have the folder in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes() and path.parent.name != str(os.getpid()):
                found.append(path)
        except OSError:
            continue
    return found


def test_an_experiment_survives_a_signal_a_kill_and_a_trial_that_can_not_begin(
    quick: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")  # the throughput is measured for seconds, on any processor
    folder = tmp_path / "experiment"
    command = [*quick, "--dir", folder]
    blocked = folder / "trials" / "b512-lr0.004-s0"  # of the grid, but not its best rate

    with started([*command, "--max-parallel", "2"], stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        assert any("2 trials at a time share one GPU" in line for line in process.stdout)
        until(lambda: sum(1 for _ in folder.glob("trials/*/metrics.jsonl")) > 1, process)
        until(lambda: len(running_in(folder / "trials")) == 2, process)
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()
        assert process.wait(60) == 128 + signal.SIGINT
    assert said.splitlines()[-1] == "stopped; run the same command again to resume"
    assert not running_in(folder)
    before = finished(folder)
    blocked.write_text("in the way")

    with started(command, stderr=subprocess.STDOUT, start_new_session=True) as process:
        until(lambda: len(finished(folder)) > len(before) and running_in(folder / "trials"), process)
        os.killpg(process.pid, signal.SIGKILL)
    before |= finished(folder)
    time.sleep(1)
    assert not running_in(folder)

    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    after = finished(folder)
    assert {name: after[name] for name in before} == before
    assert f"failed: error: {blocked} is " in ended.stdout

    trials = read(folder / "trials.csv")
    assert {trial.global_batch for trial in trials} == {32, 512}
    assert len(trials) == len(after)
    result = json.loads((folder / "scaling.json").read_text())
    assert [batch["reported_trials"] for batch in result["batches"]] == [1, 2], (
        "a rate without a rival was not selected"
    )
    assert result["s_min"]["value"] > 1
    assert (folder / "throughput.csv").exists()
    assert (folder / "noise_scale.csv").exists()
    page = (folder / "report.html").read_text()
    assert blocked.name in page
    # All plots but that of several replicas.
    assert len(list((folder / "figures").glob("*.png"))) == len(list((folder / "figures").glob("*.svg"))) == 7

    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert finished(folder) == after
    assert (folder / "report.html").read_text() == page
