"""A run that was interrupted goes on as if nothing had happened: real processes, real signals. What nobody interrupts
trains in this process."""

import json
import random
import shlex
import shutil
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util.tensor_util import make_ndarray

import harness
from harness.config import load
from harness.runs.run_dir import RunDir
from harness.training.checkpoint import steps
from tests.processes import MAIN, Forked, completed, forked, wait_for_step

pytestmark = pytest.mark.slow

STEPS = 200
SETTINGS = [
    "data.shift=1",
    f"train.length={STEPS} steps",
    "train.ema=0.9",
    "train.noise_scale=5 steps",
    "evaluate.every=4 steps",
    "checkpoint.every=12 steps",  # so that most kills leave rows behind the newest checkpoint
    "insight={methods: [], filters: false}",
]
MOMENTS = 3

KILLED_IN_WRITE = """
import os, signal, harness.runs.run_dir as r
replace = os.replace
r.os.replace = lambda a, b: (
    os.kill(os.getpid(), signal.SIGKILL) if str(b).endswith(".safetensors") else replace(a, b)
)
"""


@pytest.fixture(scope="module")
def command(small_config: Path, tiny_model: str) -> list[str]:
    """Trains the run of this module, in the directory that the arguments after it name."""
    return ["train", str(small_config), *(word for value in [*SETTINGS, tiny_model] for word in ("--set", value))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("resume")


@pytest.fixture(scope="module")
def finished(small_config: Path, tiny_model: str) -> Callable[..., RunDir]:
    """Trains the run of this module in a directory, or goes on in it, to the end."""

    def run(path: Path, with_report: bool = False) -> RunDir:
        config = load(small_config, [*SETTINGS, tiny_model])
        trained = harness.train(config, path, resume="auto", quiet=True, with_report=with_report)
        assert trained is not None
        assert trained.read_summary()["status"] == "completed"
        return trained

    return run


@pytest.fixture(scope="module")
def undisturbed(finished: Callable[..., RunDir], folder: Path) -> RunDir:
    """The run that nobody interrupts."""
    return finished(folder / "undisturbed", with_report=True)


@pytest.fixture(scope="module")
def killed(command: list[str], folder: Path) -> Path:
    """The run after a SIGKILL in the middle. To be copied before use."""
    path = folder / "killed"
    kill([*command, "--run-dir", str(path)], validations=8, delay=0.0)
    return path


def wait_for(process: Forked, split: str, times: int = 1) -> None:
    """Read what the run prints up to the line of an evaluation on `split`, for the `times`-th time."""
    assert process.stdout
    for line in process.stdout:
        times -= f"  {split}  " in line
        if not times:
            return
    raise AssertionError(f"ended too early: {process.stderr.read() if process.stderr else ''}")


def kill(command: list[str], validations: int, delay: float) -> None:
    """Start, and kill `delay` seconds behind so many validations."""
    with forked(*command) as process:
        wait_for(process, "validation", validations)
        time.sleep(delay)
        process.kill()
        assert process.wait() == -signal.SIGKILL


def interrupted(command: list[str], number: signal.Signals, validations: int) -> tuple[int, str]:
    """Send a signal behind so many validations: the exit code, and what stands on standard error."""
    with forked(*command) as process:
        wait_for(process, "validation", validations)
        process.send_signal(number)
        _, error = process.communicate()
        return process.wait(), error


def resume_command(error: str) -> list[str]:
    """The arguments of the command that a stopped run names on standard error."""
    (line,) = [line for line in error.splitlines() if "resume with: " in line]
    program, *arguments = shlex.split(line.split("resume with: ")[1])
    assert program == "harness"
    return arguments


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def weights(run: Path, step: int) -> dict[str, Any]:
    return safetensors.numpy.load_file(run / "checkpoints" / f"step-{step}.safetensors")


def scalars(run: RunDir, name: str) -> dict[str, list[tuple[int, float]]]:
    """Every scalar event of a sub-run by tag, file by file: nothing that TensorBoard would drop is dropped."""
    found = defaultdict(list)
    files = (run.tensorboard_dir / name).iterdir()
    for path in sorted(files, key=lambda path: int(path.name.split("from-step-")[1].removesuffix(".v2"))):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    found[value.tag].append((event.step, float(make_ndarray(value.tensor))))
    return found


def assert_one_clean_curve(run: RunDir) -> None:
    """Steps rise within each split, evaluations are where they belong, and TensorBoard shows the same numbers."""
    rows = run.read_metrics()
    for split in ("train", "validation", "test"):
        of_split = [row for row in rows if row["split"] == split]
        at = [row["step"] for row in of_split]
        assert at == sorted(set(at))
        assert at[-1] == STEPS
        if split == "validation":
            assert at == list(range(4, STEPS + 1, 4))
        written = scalars(run, "train" if split == "train" else "validation")
        if split == "test":
            written = {tag.removeprefix("test/"): points for tag, points in written.items() if "test/" in tag}
        written = {tag: points for tag, points in written.items() if "/" not in tag}
        assert "loss" in written
        for tag, points in written.items():
            assert points == [(row["step"], float(np.float32(row[tag]))) for row in of_split], (split, tag)

    assert [row["step"] for row in rows if row["split"] == "noise_scale"] == list(range(6, STEPS + 1, 5))


def not_by_the_clock(run: RunDir) -> list[dict[str, Any]]:
    """All rows but those of chunks, which end where the time is over: evaluations and gradient norms."""
    return [row for row in run.read_metrics() if row["split"] != "train"]


def noise_scale(run: RunDir) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of it."""
    return {tag: points for tag, points in scalars(run, "train").items() if tag.startswith("noise_scale/")}


def test_killed_at_random_moments_it_ends_as_if_nothing_had_happened(
    command: list[str], finished: Callable[..., RunDir], folder: Path, undisturbed: RunDir
) -> None:
    """At one of them while a checkpoint is written, by a process that kills itself between writing and renaming it."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    moments = random.Random(seed)
    path = folder / "killed-often"
    behind = ["--resume", "auto", "--run-dir", str(path)]
    in_write = moments.randrange(MOMENTS)
    reached = [0]
    for number in range(MOMENTS):
        if number == in_write:
            ended = completed(*command, *behind, program=KILLED_IN_WRITE + MAIN)
            assert ended.returncode == -signal.SIGKILL
            assert list((path / "checkpoints").glob(".step-*")), "nothing half-written was left, so it did not fire"
        else:
            with forked(*command, *behind) as process:
                wait_for_step(process, path, reached[-1] + moments.randrange(13, 28))
                time.sleep(moments.uniform(0, 0.05))
                process.kill()
                assert process.wait() == -signal.SIGKILL
            reached.append(steps(path / "checkpoints")[-1])
        assert json.loads((path / "summary.json").read_text())["status"] == "running"
    assert reached == sorted(set(reached)), f"seed {seed}"  # each sitting got further
    assert reached[-1] < STEPS
    run = finished(path)
    assert run.read_summary()["weights_sha256"] == undisturbed.read_summary()["weights_sha256"], f"seed {seed}"
    assert not_by_the_clock(run) == not_by_the_clock(undisturbed)
    assert noise_scale(run) == noise_scale(undisturbed)
    assert len(noise_scale(run)["noise_scale/trace"]) == len(range(6, STEPS + 1, 5))
    assert run.read_summary()["noise_scale"] == undisturbed.read_summary()["noise_scale"]
    assert_one_clean_curve(run)
    assert (
        run.log_file.read_text().count("resume  ") >= MOMENTS - 1
    )  # what is killed before its first checkpoint begins again


def test_one_that_nobody_interrupts_has_one_clean_curve(undisturbed: RunDir) -> None:
    assert_one_clean_curve(undisturbed)


def test_a_complete_run_is_left_alone(finished: Callable[..., RunDir], undisturbed: RunDir) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.path.rglob("*") if path.is_file()}
    finished(undisturbed.path, with_report=True)
    assert {path: path.stat().st_mtime_ns for path in undisturbed.path.rglob("*") if path.is_file()} == before


def test_stopped_by_signals_it_names_the_command_that_ends_it_the_same(
    command: list[str], call: Callable[..., Any], folder: Path, undisturbed: RunDir
) -> None:
    path = folder / "stopped"
    code, error = interrupted([*command, "--run-dir", str(path)], signal.SIGTERM, 3)
    assert code == 143, error
    at_first_stop = steps(path / "checkpoints")[-1]
    assert error == f"stopped at step {at_first_stop:,}; resume with: harness resume {path}\n"
    assert error.strip() in (path / "log.txt").read_text()
    assert RunDir.open(path).read_summary()["status"] == "stopped"

    code, error = interrupted(resume_command(error), signal.SIGINT, 3)
    assert code == 130, error
    assert "Traceback" not in error
    assert at_first_stop < steps(path / "checkpoints")[-1] < STEPS

    assert call(*resume_command(error), "--no-report").exit_code == 0
    run = RunDir.open(path)
    assert run.read_summary()["status"] == "completed"
    assert run.read_summary()["weights_sha256"] == undisturbed.read_summary()["weights_sha256"]
    assert_one_clean_curve(run)


def test_a_damaged_newest_checkpoint_is_passed_over_and_that_is_said_in_a_line(
    call: Callable[..., Any], killed: Path, folder: Path, undisturbed: RunDir
) -> None:
    path = folder / "damaged"
    shutil.copytree(killed, path)
    *_, before, newest = steps(path / "checkpoints")
    flip_a_bit(path / "checkpoints" / f"step-{newest}.safetensors")
    ended = call("resume", path, "--no-report")
    assert ended.exit_code == 0, ended.stderr
    (warning,) = ended.stderr.splitlines()
    assert warning.startswith(f"warning: checkpoint step-{newest}.safetensors (damaged")
    assert "SHA-256" in warning
    (resumed,) = [line for line in (path / "log.txt").read_text().splitlines() if line.startswith("resume ")]
    for fact in (f"{path} at step {before:,},", "exact to the bit"):
        assert fact in resumed
    np.testing.assert_equal(weights(path, STEPS), weights(undisturbed.path, STEPS))
    assert_one_clean_curve(RunDir.open(path))


def test_killed_behind_its_last_step_it_is_completed(
    finished: Callable[..., RunDir], folder: Path, undisturbed: RunDir
) -> None:
    path = folder / "killed-at-the-end"
    shutil.copytree(undisturbed.path, path)
    run = RunDir.open(path)
    run.write_summary({"status": "running"})  # all that tells such a run from a complete one
    for made_later in (run.model_file, run.report_file):
        made_later.unlink()
    shutil.rmtree(run.figures_dir)
    finished(path, with_report=True)
    expected, actual = undisturbed.read_summary(), run.read_summary()
    assert expected.keys() == actual.keys()
    for key in ("steps", "epochs", "examples", "validation", "test", "weights_sha256", "train_seconds"):
        assert actual[key] == expected[key], key
    assert_one_clean_curve(run)
    assert {entry.name for entry in path.iterdir()} == {entry.name for entry in undisturbed.path.iterdir()}


def test_it_goes_on_with_another_number_of_replicas(
    command: list[str], killed: Path, folder: Path, undisturbed: RunDir
) -> None:
    path = folder / "two-replicas"
    shutil.copytree(killed, path)
    resumed_at = steps(path / "checkpoints")[-1]
    two = ["--set", "cluster.logical_cpus=2", "--set", "train.micro_batch=5"]
    with forked(*command, *two, "--resume", path) as process:
        wait_for(process, "validation", 5)
    for fact in ("2 replicas × 16", "4 micro-batches of 4"):
        assert fact in (path / "log.txt").read_text()
    # Rounding differs from here on, and Adam makes more of it at each step: look at the first steps, which would be
    # quite different with other examples or without the optimizer's state.
    at = slice(resumed_at // 4, resumed_at // 4 + 4)
    for name in ("loss", "gradient_norm", "learning_rate"):
        expected, actual = (
            [(row["step"], row[name]) for row in run.read_metrics() if row["split"] == "train"][at]
            for run in (undisturbed, RunDir.open(path))
        )
        np.testing.assert_allclose(actual, expected, rtol=1e-3, err_msg=name)


def test_the_row_of_an_evaluation_that_the_disk_has_lost_is_written_again(
    finished: Callable[..., RunDir], killed: Path, folder: Path
) -> None:
    path = folder / "lost-row"
    shutil.copytree(killed, path)
    newest, file = max(steps(path / "checkpoints")), path / "metrics.jsonl"
    *kept, lost = [line for line in file.read_text().splitlines(keepends=True) if json.loads(line)["step"] <= newest]
    assert [json.loads(lost)[key] for key in ("step", "split")] == [newest, "validation"]
    file.write_text("".join(kept))
    finished(path)
    rows = RunDir.open(path).read_metrics()
    assert [row["step"] for row in rows if row["split"] == "validation"] == list(range(4, STEPS + 1, 4))


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(
    finished: Callable[..., RunDir], killed: Path, folder: Path, undisturbed: RunDir
) -> None:
    path = folder / "no-checkpoint"
    shutil.copytree(killed, path)
    shutil.rmtree(path / "checkpoints")
    finished(path)
    np.testing.assert_equal(weights(path, STEPS), weights(undisturbed.path, STEPS))
    rows = RunDir.open(path).read_metrics()
    assert [row["step"] for row in rows if row["split"] == "validation"] == list(range(4, STEPS + 1, 4))
