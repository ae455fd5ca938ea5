"""What machines do to a training run, done to it for real: docs/reliability.md lists what must come of each."""

import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import harness
from harness.cluster.environment import tf_config
from harness.config import Config, load
from harness.data import order, sources
from harness.errors import CallbackFailed
from harness.machine.resources import free_ports
from harness.runs.run_dir import RunDir
from harness.training.checkpoint import steps
from tests.processes import AS_A_USER, completed, started, wait_for_step, workers

pytestmark = pytest.mark.slow

SETTINGS = [
    "data.shift=1",
    "train={length: 200 steps, global_batch: 25}",
    "optimizer={name: sgd, learning_rate: 0.01, momentum: 0.0}",
    "schedule={name: constant, warmup: 0 steps}",
    "evaluate={every: 25 steps}",
    "checkpoint={every: 25 steps, keep: 99}",
    "insight={methods: [], filters: false}",
]


def settings(*more: str) -> list[str]:
    return [word for value in [*SETTINGS, *more] for word in ("--set", value)]


@pytest.fixture(scope="module")
def train(small_config: Path, tiny_model: str) -> Callable[..., list[str]]:
    """The arguments that train into a directory, or go on in it."""

    def arguments(run: Path | str, *sets: str) -> list[str]:
        start = ["train", str(small_config), *settings(tiny_model, *sets)]
        return [*start, "--run-dir", str(run), "--resume", "auto", "--no-report"]

    return arguments


@pytest.fixture(scope="module")
def finished(small_config: Path, tiny_model: str) -> Callable[..., RunDir]:
    """Trains into a directory, or goes on in it, to the end, in this process and without pictures."""

    def run(path: Path, *sets: str) -> RunDir:
        config = load(small_config, [*SETTINGS, tiny_model, *sets])
        trained = harness.train(config, path, resume="auto", quiet=True, only_training=True)
        assert trained is not None
        return trained

    return run


@pytest.fixture(scope="module")
def undisturbed(finished: Callable[..., RunDir], tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return finished(tmp_path_factory.mktemp("undisturbed") / "run")


@pytest.fixture
def train_here(call: Callable[..., Any], small_config: Path) -> Callable[..., Any]:
    """What the command that trains into a directory ends with, in this process."""
    return lambda run, *sets: call("train", small_config, *settings(*sets), "--run-dir", run, "--only-training")


BRIGHTENED = """
import keras

def net(image_shape, classes):
    pixels = keras.Input(image_shape)
    brightest = keras.ops.max(pixels, axis=(1, 2, 3), keepdims=True)
    return keras.Model(pixels, keras.layers.Dense(classes)(keras.layers.Flatten()(pixels / brightest)))
"""
"""A model that gives NaN for a black image alone."""


@pytest.fixture
def with_black_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Settings of a training in which the first example of each of some steps (from 0) gives NaN."""
    (tmp_path / "brightened.py").write_text(BRIGHTENED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def settings(*data_steps: int) -> list[str]:
        mnist, train_rows = sources.load("mnist"), 5_500  # more than a run trains on: none comes twice
        x_train = mnist.x_train[: train_rows + 200].copy()
        seed = Config().seed
        x_train[order.rows(25 * tf.constant(data_steps, tf.int64), seed, train_rows).numpy()] = 0
        np.savez(
            tmp_path / "black.npz",
            x_train=x_train,
            y_train=mnist.y_train[: len(x_train)],
            x_test=mnist.x_test[:100],
            y_test=mnist.y_test[:100],
        )
        data = f"data={{source: {tmp_path / 'black.npz'}, validation: 200, shift: 1}}"
        return [data, "model={name: brightened:net}"]

    return settings


def sha(run: RunDir) -> str:
    summary = run.read_summary()
    assert summary["status"] == "completed"
    return str(summary["weights_sha256"])


def last_line(error: str) -> str:
    """What the user reads last; TensorFlow's own log lines may stand before it."""
    assert "Traceback" not in error
    return [line for line in error.splitlines() if line.startswith("error: ")][-1]


def all_finite(run: RunDir) -> bool:
    newest = run.checkpoints_dir / f"step-{steps(run.checkpoints_dir)[-1]}.safetensors"
    return all(np.isfinite(array).all() for array in safetensors.numpy.load_file(newest).values())


def test_one_of_two_workers_killed_the_other_ends_within_a_minute(
    train: Callable[..., list[str]], tmp_path: Path
) -> None:
    for victim in (0, 1):
        run = tmp_path / f"run-{victim}"
        with workers([train(run, "train.length=9000 steps")] * 2, [tmp_path] * 2) as processes:
            wait_for_step(processes[0], run, 50)
            processes[victim].kill()
            killed = time.monotonic()
            _, error = processes[1 - victim].communicate(timeout=60)
            assert time.monotonic() - killed < 60
            assert processes[1 - victim].returncode == 1
            assert "another worker is gone" in last_line(error)
    assert RunDir.open(tmp_path / "run-1").read_summary()["status"] == "failed"  # the chief has lived to say so


def test_a_worker_that_never_shows_up_is_named(train: Callable[..., list[str]], tmp_path: Path) -> None:
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    alone = completed(
        *train(tmp_path / "run", "cluster.start_timeout=1"), env=os.environ | {"TF_CONFIG": tf_config(addresses, 0)}
    )
    assert alone.returncode == 1
    for fact in (f"error: worker 1 ({addresses[1]}) has not shown up", "1 s (cluster.start_timeout)"):
        assert fact in last_line(alone.stderr)
    assert not (tmp_path / "run").exists()


def test_a_worker_with_another_config_is_named(train: Callable[..., list[str]], tmp_path: Path) -> None:
    with workers([train("run"), train("run", "seed=1")], [tmp_path] * 2) as processes:
        for process in processes:
            _, error = process.communicate(timeout=60)
            assert process.returncode == 2
            for fact in ("another config than worker 0", "seed (1, not 0)"):
                assert fact in last_line(error)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_ends_all_workers_and_leaves_the_older_checkpoints(
    train: Callable[..., list[str]], tmp_path: Path
) -> None:
    """The disk of the chief: a limit on the size of files, put on the running process. One process: see chaos."""
    run = tmp_path / "run"
    with workers([train(run)] * 2, [tmp_path] * 2) as processes:
        wait_for_step(processes[0], run, 50)
        there = steps(run / "checkpoints")
        limit = (run / "checkpoints" / f"step-{there[0]}.safetensors").stat().st_size // 2
        resource.prlimit(processes[0].pid, resource.RLIMIT_FSIZE, (limit, limit))
        errors = [process.communicate(timeout=60)[1] for process in processes]
        assert [process.returncode for process in processes] == [1, 1]
    assert re.match("error: can't write .*File too large.*; .*resume with: ", last_line(errors[0]))
    assert "another worker has failed" in last_line(errors[1])
    opened = RunDir.open(run)
    assert opened.read_summary()["status"] == "failed"
    assert set(there) <= set(steps(opened.checkpoints_dir))
    assert not list(opened.checkpoints_dir.glob(".step-*"))


def test_a_run_directory_made_read_only_is_reported(
    train: Callable[..., list[str]],
    finished: Callable[..., RunDir],
    undisturbed: RunDir,
    script: Path,
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    with started([*AS_A_USER, script, *train(run)]) as process:
        wait_for_step(process, run, 50)
        folders = [run, run / "checkpoints"]
        for folder in folders:
            folder.chmod(0o555)
        _, error = process.communicate(timeout=60)
    for folder in folders:
        folder.chmod(0o755)
    assert process.returncode == 1
    assert re.match("error: can't write .*Permission denied.*; .*resume with: ", last_line(error))
    assert sha(finished(run)) == sha(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("resume", "--length", "500 steps"), ("evaluate",), ("visualize",)])
def test_what_a_finished_run_does_not_permit_is_told_before_anything_is_computed(
    completed_run: tuple[Path, Any], script: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    run = Path(shutil.copytree(completed_run[0], tmp_path / "run"))
    (run / "model.keras").chmod(0)
    run.chmod(0o555)
    command, *options = arguments
    ended = subprocess.run([*AS_A_USER, script, command, run, *options], capture_output=True, text=True)
    run.chmod(0o755)
    assert ended.returncode == 2, ended
    assert re.fullmatch(rf"error: .*{re.escape(str(run))}\S*.* Permission denied.*\n", ended.stderr)


def test_a_diverging_loss_stops_before_its_update(train_here: Callable[..., Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    schedule = ["schedule={name: linear, warmup: 390 steps}", "train.length=400 steps"]
    sets = ["optimizer={name: adam, learning_rate: 1000000.0}", *schedule]
    ended = train_here(run, *sets)
    assert ended.exit_code == 1
    assert re.match(r"error: .*not finite at step [\d,]+ \(examples [\d,]+ to [\d,]+", last_line(ended.stderr))
    opened = RunDir.open(run)
    assert opened.read_summary()["status"] == "failed"
    if steps(opened.checkpoints_dir):
        assert all_finite(opened)


def failing_once(step: int, state: Any, rows: Any) -> None:
    if not failing_once.failed:  # type: ignore[attr-defined]
        failing_once.failed = True  # type: ignore[attr-defined]
        raise RuntimeError("as asked for")


failing_once.failed = False  # type: ignore[attr-defined]


def test_a_loss_that_is_not_finite_is_gone_around(
    train_here: Callable[..., Any],
    with_black_images: Callable[..., list[str]],
    finished: Callable[..., RunDir],
    tmp_path: Path,
) -> None:
    """Step 111 (from 0) has an example that gives NaN: back to step 100, on with the examples of step 112."""
    run = tmp_path / "run"
    sets = [*with_black_images(111), "train.on_nonfinite=restore"]
    ended = train_here(run, *sets)
    assert ended.exit_code == 0, ended.stderr
    for fact in ("not finite at step 112", "(examples 2,775 to 2,799 ", "(1 of 3 times)"):
        assert fact in ended.stderr
    opened = RunDir.open(run)
    summary = opened.read_summary()
    assert (summary["status"], summary["steps"], summary["skipped_steps"], summary["restores"]) == (
        "completed",
        200,
        12,
        1,
    )
    rows = [row["step"] for row in opened.read_metrics() if row["split"] == "train"]
    assert rows == sorted(set(rows))  # one clean curve

    callback = f"callbacks=[{{name: {__name__}:failing_once, every: 130 steps}}]"
    with pytest.raises(CallbackFailed, match="as asked for"):
        finished(tmp_path / "interrupted", *sets, callback)
    resumed = finished(tmp_path / "interrupted", *sets, callback)
    assert len(re.findall("at step 125, .*exact to the bit", resumed.log_file.read_text())) == 1
    assert sha(resumed) == summary["weights_sha256"]  # the checkpoint knows what was skipped
    assert resumed.read_summary()["skipped_steps"] == 12


def test_it_goes_back_three_times_at_most_and_nan_on_one_of_two_workers_is_the_business_of_both(
    train: Callable[..., list[str]], with_black_images: Callable[..., list[str]], tmp_path: Path
) -> None:
    """Only the chief's replica has the first example of a step, and with it the NaN."""
    run = tmp_path / "run"
    arguments = train(run, *with_black_images(30, 60, 61, 62), "train.on_nonfinite=restore")
    with workers([arguments] * 2, [tmp_path] * 2) as processes:
        errors = [process.communicate(timeout=300)[1] for process in processes]
        assert [process.returncode for process in processes] == [1, 1], errors
    for error in errors:
        for fact in ("not finite at step 31", "(examples 750 to 774 "):
            assert fact in error
        assert [f"({number} of 3 times)" in error for number in (1, 2, 3, 4)] == [True, True, True, False]
    assert re.match(r"error: .*not finite at step \d", last_line(errors[0]))
    assert RunDir.open(run).read_summary()["status"] == "failed"
    assert all_finite(RunDir.open(run))


EXHAUSTING = """
import tensorflow as tf

def loss(logits, labels):
    def of_batch(rows):
        if rows == 50:
            raise MemoryError  # which TensorFlow makes its ResourceExhaustedError
        return tf.zeros([rows])

    return tf.ensure_shape(tf.py_function(of_batch, [tf.shape(labels)[0]], tf.float32), [None]) + 0 * logits[:, 0]
"""


def test_out_of_memory_names_a_micro_batch_to_try(
    call: Callable[..., Any], small_config: Path, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Raised by a loss, as TensorFlow 2.21 on a CPU doesn't where memory ends: it crashes."""
    (tmp_path / "exhausting.py").write_text(EXHAUSTING)
    monkeypatch.chdir(tmp_path)
    sets = settings(
        tiny_model,
        "train={length: 9 steps, global_batch: 100}",
        "cluster.logical_cpus=2",
        "loss={name: exhausting:loss}",
    )
    ended = call("train", small_config, *sets, "--run-dir", tmp_path / "run")
    assert ended.exit_code == 1
    for fact in ("out of memory", "50 examples at a time on each replica", "--set train.micro_batch=25"):
        assert fact in ended.stderr
    assert RunDir.open(tmp_path / "run").read_summary()["status"] == "failed"


def test_a_run_goes_on_with_other_devices(
    train: Callable[..., list[str]], finished: Callable[..., RunDir], tmp_path: Path
) -> None:
    """Begun on 4 replicas, 40 steps with 2 replicas, one device or 2 workers, and 40 more on 4 again."""

    def go_on(run: Path, where: str, until: int) -> str:
        """Train to that step, the run's length at the time; gives the line of the resume."""
        sets = [f"train.length={until} steps", "checkpoint.every=40 steps", "evaluate.every=500 steps"]
        if where == "2 workers":
            arguments = [*train(run, *sets), "--only-training"]
            with workers([arguments] * 2, [tmp_path] * 2) as processes:
                errors = [process.communicate()[1] for process in processes]
                assert [process.returncode for process in processes] == [0, 0], errors
        else:
            finished(run, *sets, f"cluster.logical_cpus={where}")
        resumed = [line for line in (run / "log.txt").read_text().splitlines() if line.startswith("resume ")]
        return resumed[-1] if resumed else ""

    begun, same = tmp_path / "begun", tmp_path / "same"
    assert go_on(begun, "4", 40) == ""
    shutil.copytree(begun, same)
    assert re.search("at step 40, .*same devices.*exact to the bit$", go_on(same, "4", 80))
    for where in ("2", "null", "2 workers"):
        moved = tmp_path / where
        shutil.copytree(begun, moved)
        assert "at step 40, with other devices (" in go_on(moved, where, 80)
        assert distance(same, moved, 80) < 1e-4
    assert "at step 80, with other devices (" in go_on(moved, "4", 120)
    go_on(same, "4", 120)
    assert distance(same, moved, 120) < 1e-4


def distance(one: Path, other: Path, step: int) -> float:
    """Between the weights of two runs, all as one vector, relative to their length."""
    first, second = (
        safetensors.numpy.load_file(run / "checkpoints" / f"step-{step}.safetensors") for run in (one, other)
    )
    names = [name for name in first if name.startswith("model/")]
    assert len(names) == 2
    a, b = (np.concatenate([arrays[name].ravel() for name in names]) for arrays in (first, second))
    return float(np.linalg.norm(a - b) / np.linalg.norm(a))
