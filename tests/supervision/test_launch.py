"""`harness launch`: real workers on this machine, and what becomes of them when one dies, hangs or is refused."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import harness
from harness.config import load
from harness.errors import DeviceError
from harness.machine.resources import deal_gpus, share_gpus, share_logical_cpus
from harness.runs.run_dir import RunDir
from tests.processes import started, wait_for_checkpoint

SETTINGS = [
    "data.shift=1",
    "train={length: 400 steps, global_batch: 25}",  # 13 rows for one of two workers, 12 and a padding row for the other
    # No momentum: in float32 it makes what rounding does at a ReLU grow (tests/training/test_equivalence.py).
    "optimizer={name: sgd, learning_rate: 0.01, momentum: 0.0}",
    "schedule={name: constant, warmup: 0 steps}",
    "evaluate={every: 50 steps}",
    "checkpoint={every: 50 steps, keep: 99}",
    "insight={methods: [], filters: false}",
]


def settings(*more: str) -> list[str]:
    return [word for value in [*SETTINGS, *more] for word in ("--set", value)]


@pytest.fixture(scope="module")
def launch(script: Path, small_config: Path) -> Callable[..., list[str]]:
    """The command that launches two workers with these options on a training into that directory."""

    def command(run: Path, *options: str, sets: list[str] | None = None, report: bool = False) -> list[str]:
        start = [str(script), "launch", "--workers", "2", *options, "--", "train", str(small_config)]
        return [*start, *settings(*(sets or [])), "--run-dir", str(run), *([] if report else ["--no-report"])]

    return command


def workers_of(process: "subprocess.Popen[str]") -> list[int]:
    """The workers' process ids, in the order of their start."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return sorted(int(child) for child in children)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def weights(run: RunDir, step: int) -> dict[str, Any]:
    arrays = safetensors.numpy.load_file(run.checkpoints_dir / f"step-{step}.safetensors")
    return {name: array for name, array in arrays.items() if name.startswith("model/")}


@pytest.fixture(scope="module")
def two_workers(launch: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDir, str]:
    """The run of two launched workers that nobody disturbs, and what was printed."""
    path = tmp_path_factory.mktemp("launched") / "run"
    ended = subprocess.run(launch(path, report=True), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""  # no alarm where all is well
    return RunDir.open(path), ended.stdout


@pytest.fixture(scope="module")
def one_process(small_config: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """The first 50 steps, without workers: in this process."""
    config = load(small_config, [*SETTINGS, "train.length=50 steps"])
    run = harness.train(config, tmp_path_factory.mktemp("alone") / "run", quiet=True, only_training=True)
    assert run is not None
    return run


@pytest.mark.slow
def test_two_workers_end_with_equal_weights_and_only_the_chief_writes(two_workers: tuple[RunDir, str]) -> None:
    run, output = two_workers
    summary = run.read_summary()
    assert (summary["status"], summary["workers"], summary["replicas"]) == ("completed", 2, 2)
    assert f"[worker 1] done at step 400 with the weights of worker 0, SHA-256 {summary['weights_sha256']}\n" in output
    assert re.search(r"^epoch .* step 400/400 .*test", output, re.MULTILINE)  # the chief's progress, as it is
    assert "done at step 400" in (run.logs_dir / "worker-1.txt").read_text()
    assert "report" in (run.logs_dir / "worker-0.txt").read_text()
    for log in (run.log_file, run.logs_dir / "worker-1.txt"):  # and there alone
        assert "absl::InitializeLog" in log.read_text()
    assert "absl::InitializeLog" not in output


@pytest.mark.slow
@pytest.mark.parametrize("logical_cpus", [None, 4])
def test_launched_workers_train_what_one_process_trains(
    two_workers: tuple[RunDir, str],
    one_process: RunDir,
    launch: Callable[..., list[str]],
    tmp_path: Path,
    logical_cpus: int | None,
) -> None:
    """Also where each worker has two replicas of its own."""
    run, _ = two_workers
    if logical_cpus:
        sets = [f"cluster.logical_cpus={logical_cpus}", "train.length=50 steps"]
        ended = subprocess.run(launch(tmp_path / "run", sets=sets), capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert "worker 1 of 2 with 2 devices each" in ended.stdout
        run = RunDir.open(tmp_path / "run")
        assert run.read_summary()["replicas"] == 4
    one, several = weights(one_process, 50), weights(run, 50)
    assert one.keys() == several.keys()
    for name in one:
        assert np.linalg.norm(several[name] - one[name]) < 1e-5 * np.linalg.norm(one[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_takes_the_others_with_it_within_5_seconds(
    launch: Callable[..., list[str]], tmp_path: Path, victim: int
) -> None:
    run = tmp_path / "run"
    with started(launch(run), stderr=subprocess.STDOUT) as process:
        wait_for_checkpoint(process, run, 50)
        pids = workers_of(process)
        os.kill(pids[victim], signal.SIGKILL)
        killed = time.monotonic()
        while not all(is_gone(pid) for pid in pids):
            time.sleep(0.02)
        seconds = time.monotonic() - killed
        output, _ = process.communicate()
    assert process.returncode == 128 + signal.SIGKILL
    assert f"launch: worker {victim} was killed by SIGKILL" in output
    assert "Traceback" not in output
    assert seconds < 5


@pytest.mark.slow
def test_after_a_restart_the_run_ends_as_if_nothing_had_happened(
    two_workers: tuple[RunDir, str], launch: Callable[..., list[str]], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with started(launch(run, "--max-restarts", "1"), stderr=subprocess.STDOUT) as process:
        wait_for_checkpoint(process, run, 100)
        os.kill(workers_of(process)[1], signal.SIGKILL)
        output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "launch: restart 1 of 1, from the newest checkpoint" in output
    assert "on the same devices: exact to the bit" in output
    assert RunDir.open(run).read_summary()["weights_sha256"] == two_workers[0].read_summary()["weights_sha256"]


@pytest.mark.slow
def test_a_hanging_worker_is_found_and_its_stacks_are_logged(
    two_workers: tuple[RunDir, str], launch: Callable[..., list[str]], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with started(launch(run, "--max-restarts", "1", "--hang-timeout", "6"), stderr=subprocess.STDOUT) as process:
        wait_for_checkpoint(process, run, 100)
        os.kill(workers_of(process)[1], signal.SIGSTOP)
        output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "launch: worker 1 made no progress for 6 s, and is stopped, as by SIGSTOP" in output
    assert "Thread 0x" not in output
    log = (run / "logs" / "worker-1.txt").read_text()
    assert re.search(r'(Current thread|Thread) 0x[0-9a-f]+ \(most recent call first\):\n  File "', log)
    assert "harness/job.py" in log
    assert RunDir.open(run).read_summary()["weights_sha256"] == two_workers[0].read_summary()["weights_sha256"]


@pytest.mark.slow
def test_a_signal_is_handed_on_and_both_stop_at_the_same_step(launch: Callable[..., list[str]], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with started(launch(run, "--max-restarts", "3"), stderr=subprocess.STDOUT) as process:
        wait_for_checkpoint(process, run, 50)
        process.terminate()
        output, _ = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert "launch:" not in output
    (chief,) = re.findall(r"^stopped at step (\d+); resume with", output, re.MULTILINE)
    (other,) = re.findall(r"^\[worker 1\] stopped at step (\d+)$", output, re.MULTILINE)
    assert chief == other
    assert RunDir.open(run).read_summary()["status"] == "stopped"


@pytest.mark.slow
def test_workers_do_not_outlive_a_launcher_that_was_killed(launch: Callable[..., list[str]], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with started(launch(run), stderr=subprocess.STDOUT) as process:
        wait_for_checkpoint(process, run, 50)
        pids = workers_of(process)
        assert len(pids) == 2
        process.kill()
        process.wait()
        end = time.monotonic() + 5
        while not all(is_gone(pid) for pid in pids):
            assert time.monotonic() < end, pids
            time.sleep(0.02)


@pytest.mark.slow
def test_a_mistake_is_not_tried_again_and_leaves_nothing(launch: Callable[..., list[str]], tmp_path: Path) -> None:
    ended = subprocess.run(
        launch(tmp_path / "run", "--max-restarts", "3", sets=["data.shift=28"]), capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert "error: data.shift: 28 moves images" in ended.stdout
    assert "restart" not in ended.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--workers", "0", "--", "train", "mnist"], "'--workers': 0"),
        (["--", "train", "mnist"], "Missing option '--workers'"),
        (["--workers", "2"], "Missing argument"),
        (["--workers", "2", "--", "evaluate", "x"], "only the command train can be launched, not evaluate"),
        (["--workers", "2", "--", "train"], "Missing argument 'CONFIG'"),
        (["--workers", "2", "--", "train", "mnist", "--nonsense"], "No such option"),
        (["--workers", "2", "--", "train", "nowhere.yaml"], "no such config file"),
        (["--workers", "2", "--", "train", "mnist", "--dry-run"], "--dry-run trains nothing"),
        (["--workers", "2", "--hang-timeout", "0", "--", "train", "mnist"], "'--hang-timeout': 0"),
        (
            ["--workers", "2", "--", "train", "mnist", "--set", "cluster.strategy=single"],
            "launch needs auto or multi_w",
        ),
        (
            ["--workers", "2", "--", "train", "mnist", "--set", "cluster.gpus=[0]"],
            "set CUDA_VISIBLE_DEVICES for launch",
        ),
        (["--workers", "2", "--", "train", "mnist", "--set", "cluster.logical_cpus=3"], "3 can't be shared equally"),
        (["--workers", "2", "--", "train", "mnist", "--set", "cluster.logical_gpus=2"], "is for one process"),
        (["--workers", "2", "--", "train", "mnist", "--resume", "auto"], "--resume auto needs --run-dir"),
    ],
)
def test_what_cannot_be_launched_is_refused(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = call("launch", *arguments)
    assert ended.exit_code == 2
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(tmp_path.iterdir())


def test_gpus_are_shared_in_turn() -> None:
    assert share_gpus(2, None, "4,5,6,7") == [["4", "5"], ["6", "7"]]
    assert share_gpus(2, 1, "4,5,6,7") == [["4"], ["5"]]
    for none in ("", "-1", "-1,0"):
        assert share_gpus(3, None, none) is None
    for workers, per_worker, visible in [(2, None, "0"), (2, 2, "0,1,2"), (1, 1, "")]:
        with pytest.raises(DeviceError, match=f"and there are {len([name for name in visible.split(',') if name])}: "):
            share_gpus(workers, per_worker, visible)


def test_gpus_are_dealt_out_to_processes_even_where_these_are_more() -> None:
    assert deal_gpus(2, "4,5,6,7") == [["4", "5"], ["6", "7"]]
    assert deal_gpus(2, "4,5,6") == [["4"], ["5"]]
    assert deal_gpus(4, "7") == [["7"]] * 4
    assert deal_gpus(5, "4,5") == [["4"], ["5"], ["4"], ["5"], ["4"]]
    assert deal_gpus(4, "") is None


def test_logical_cpus_are_shared() -> None:
    assert share_logical_cpus(2, 4) == ["--set", "cluster.logical_cpus=2"]
    assert share_logical_cpus(2, None) == []
