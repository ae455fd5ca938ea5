"""`harness launch`: real workers on this machine, and what becomes of them when one dies, hangs or is refused."""

import os
import re
import shutil
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
from harness.training.checkpoint import steps
from tests.processes import started

SETTINGS = [
    "data.shift=1",
    "train={length: 120 steps, global_batch: 25}",  # 7 rows for each of four replicas, 4 for the last
    # No momentum: in float32 it makes what rounding does at a ReLU grow (tests/training/test_equivalence.py).
    "optimizer={name: sgd, learning_rate: 0.01, momentum: 0.0}",
    "schedule={name: constant, warmup: 0 steps}",
    "evaluate={every: 20 steps}",
    "checkpoint={every: 20 steps, keep: 99}",
    "insight={methods: [], filters: false}",
    "cluster.logical_cpus=4",  # two replicas for each of two workers
]


@pytest.fixture(scope="module")
def launch(script: Path, small_config: Path, tiny_model: str, unhurried: tuple[Path, str]) -> Callable[..., list[str]]:
    """The command that launches two workers with these options on a training into that directory, which takes more than
    a second."""
    _, pauses = unhurried

    def command(run: Path, *options: str, more: list[str], workers: int = 2) -> list[str]:
        sets = [word for value in [*SETTINGS, tiny_model, pauses] for word in ("--set", value)]
        start = [str(script), "launch", "--workers", str(workers), *options, "--", "train", str(small_config)]
        return [*start, *sets, "--run-dir", str(run), *more]

    return command


@pytest.fixture(scope="module")
def launched(launch: Callable[..., list[str]], unhurried: tuple[Path, str]) -> Callable[..., Any]:
    """Such a command as a process, its errors with its output."""

    def start(run: Path, *options: str, resume: bool = False, env: dict[str, str] | None = None) -> Any:
        more = ["--no-report", *(["--resume", "auto"] if resume else [])]
        return started(launch(run, *options, more=more), stderr=subprocess.STDOUT, cwd=unhurried[0], env=env)

    return start


def wait_for_a_checkpoint(process: "subprocess.Popen[str]", run: Path) -> None:
    """Until there is one more; the process must not end before."""
    before = steps(run / "checkpoints")
    while steps(run / "checkpoints") == before:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def workers_of(process: "subprocess.Popen[str]") -> list[int]:
    """The workers' process ids, in the order of their start."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return sorted(int(child) for child in children)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def seconds_until_gone(pids: list[int]) -> float:
    start = time.monotonic()
    while not all(is_gone(pid) for pid in pids):
        assert time.monotonic() - start < 60, pids
        time.sleep(0.02)
    return time.monotonic() - start


def weights(run: RunDir, step: int) -> dict[str, Any]:
    arrays = safetensors.numpy.load_file(run.checkpoints_dir / f"step-{step}.safetensors")
    return {name: array for name, array in arrays.items() if name.startswith("model/")}


@pytest.fixture(scope="module")
def two_workers(
    launch: Callable[..., list[str]], unhurried: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunDir, str]:
    """The run of two launched workers that nobody disturbs, and what was printed."""
    path = tmp_path_factory.mktemp("launched") / "run"
    ended = subprocess.run(launch(path, more=[]), capture_output=True, text=True, cwd=unhurried[0])
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""  # no alarm where all is well
    return RunDir.open(path), ended.stdout


@pytest.mark.slow
def test_two_workers_end_with_equal_weights_and_only_the_chief_writes(two_workers: tuple[RunDir, str]) -> None:
    run, output = two_workers
    summary = run.read_summary()
    assert (summary["status"], summary["workers"], summary["replicas"]) == ("completed", 2, 4)
    assert "worker 1 of 2 with 2 devices each" in output
    assert re.search(rf"^\[worker 1\] done at step 120 .*{summary['weights_sha256']}$", output, re.MULTILINE)
    assert re.search(r"^epoch .* step 120/120 .*test", output, re.MULTILINE)  # the chief's progress, as it is
    assert "done at step 120" in (run.logs_dir / "worker-1.txt").read_text()
    assert "report" in (run.logs_dir / "worker-0.txt").read_text()
    for log in (run.log_file, run.logs_dir / "worker-1.txt"):  # and there alone
        assert "absl::InitializeLog" in log.read_text()
    assert "absl::InitializeLog" not in output


@pytest.mark.slow
def test_launched_workers_train_what_one_process_trains(
    two_workers: tuple[RunDir, str], small_config: Path, tiny_model: str, tmp_path: Path
) -> None:
    """One replica on each worker: tests/test_two_workers.py, without a launcher."""
    config = load(small_config, [*SETTINGS, tiny_model, "train.length=40 steps", "cluster.logical_cpus=null"])
    alone = harness.train(config, tmp_path / "run", quiet=True, only_training=True)
    assert alone is not None
    one, several = weights(alone, 40), weights(two_workers[0], 40)
    assert one.keys() == several.keys()
    assert len(one) == 2
    for name in one:
        assert np.linalg.norm(several[name] - one[name]) < 1e-5 * np.linalg.norm(one[name]), name


@pytest.fixture(scope="module")
def killed_twice(launched: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run that lost first its chief and, after a restart, its other worker; and what was printed."""
    run = tmp_path_factory.mktemp("killed") / "run"
    with launched(run, "--max-restarts", "1") as process:
        for victim in (0, 1):
            wait_for_a_checkpoint(process, run)
            pids = workers_of(process)
            os.kill(pids[victim], signal.SIGKILL)
            assert seconds_until_gone(pids) < 5
        output, _ = process.communicate()
    assert process.returncode == 128 + signal.SIGKILL
    return run, output


@pytest.mark.slow
def test_a_killed_worker_takes_the_others_with_it_within_5_seconds_and_all_start_again(
    killed_twice: tuple[Path, str],
) -> None:
    _, output = killed_twice
    assert [f"launch: worker {victim} was killed by SIGKILL" in output for victim in (0, 1)] == [True, True]
    assert "launch: restart 1 of 1" in output
    assert "exact to the bit" in output
    assert "Traceback" not in output


@pytest.fixture(scope="module")
def stopped(launched: Callable[..., Any], killed_twice: tuple[Path, str]) -> tuple[Path, str]:
    """The same run, on again and stopped by a signal; and what was printed then."""
    run, _ = killed_twice
    with launched(run, "--max-restarts", "3", "--hang-timeout", "250", resume=True) as process:
        wait_for_a_checkpoint(process, run)
        process.terminate()
        output, _ = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    return run, output


@pytest.mark.slow
def test_a_signal_is_handed_on_and_both_stop_at_the_same_step(stopped: tuple[Path, str]) -> None:
    run, output = stopped
    assert "launch:" not in output
    (chief,) = re.findall(r"^stopped at step (\d+); resume with", output, re.MULTILINE)
    (other,) = re.findall(r"^\[worker 1\] stopped at step (\d+)$", output, re.MULTILINE)
    assert chief == other
    assert "launch --workers 2 --max-restarts 3 --hang-timeout 250 -- " in output
    assert RunDir.open(run).read_summary()["status"] == "stopped"


@pytest.mark.slow
def test_hanging_and_stopped_workers_are_found_their_stacks_are_logged_and_the_run_ends_as_if_nothing_had_happened(
    two_workers: tuple[RunDir, str], launched: Callable[..., Any], stopped: tuple[Path, str], tmp_path: Path
) -> None:
    """Neither the kills nor the signal before."""
    run = shutil.copytree(stopped[0], tmp_path / "run")
    (hang := tmp_path / "hang").touch()
    env = os.environ | {"HANG": str(hang)}
    with launched(run, "--max-restarts", "2", "--hang-timeout", "10", resume=True, env=env) as process:
        while hang.exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        hanging = workers_of(process)
        while len(restarted := sorted(set(workers_of(process)) - set(hanging))) < 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        wait_for_a_checkpoint(process, run)
        os.kill(restarted[1], signal.SIGSTOP)  # found by the launcher or, by its silence, by TensorFlow
        output, _ = process.communicate()
    assert process.returncode == 0, output
    for worker in (0, 1):  # the one that waits for the other, too
        assert re.search(rf"^launch: worker {worker} made no progress for \d+ s$", output, re.MULTILINE), output
    assert re.search("^launch: killing worker 1, .*SIGSTOP", output, re.MULTILINE)
    assert "Thread 0x" not in output
    for worker, file in ((0, "pauses.py"), (1, "harness/job.py")):
        log = (run / "logs" / f"worker-{worker}.txt").read_text()
        assert re.search(r'(Current thread|Thread) 0x[0-9a-f]+ \(most recent call first\):\n  File "', log)
        assert file in log
    assert RunDir.open(run).read_summary()["weights_sha256"] == two_workers[0].read_summary()["weights_sha256"]


@pytest.mark.slow
def test_workers_do_not_outlive_a_launcher_that_was_killed(launched: Callable[..., Any], tmp_path: Path) -> None:
    """Whatever they do; here, as TensorFlow is imported."""
    with launched(tmp_path / "run") as process:
        while len(pids := workers_of(process)) < 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.kill()
        process.wait()
        assert seconds_until_gone(pids) < 5


@pytest.mark.slow
def test_a_mistake_is_not_tried_again_and_leaves_nothing(
    launch: Callable[..., list[str]], unhurried: tuple[Path, str], tmp_path: Path
) -> None:
    command = launch(tmp_path / "run", "--max-restarts", "3", more=["--set", "data.shift=28"], workers=1)
    ended = subprocess.run(command, capture_output=True, text=True, cwd=unhurried[0])
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
