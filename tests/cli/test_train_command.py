"""`harness train` as a user meets it: dry run, plain output, a terminal, quiet, stopped, resumed; TensorBoard."""

import contextlib
import json
import os
import pty
import re
import selectors
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.errors import UserError
from tests.conftest import Result

Call = Callable[..., Result]

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""Control characters, but for tab and line feed."""


def start(command: list[object], **options: Any) -> subprocess.Popen[str]:
    process: subprocess.Popen[str] = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    return process


class TestDryRun:
    def test_prints_devices_batch_arithmetic_steps_and_memory_and_makes_nothing(
        self, call: Call, small_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        shown = call("train", small_config, "--dry-run", "--set", "train.micro_batch=10")
        assert shown.exit_code == 0
        assert shown.stderr == ""
        assert "single device" in shown.stdout
        for fact in (
            "1,800 train, 200 validation, 500 test",
            "global batch 32",
            "4 micro-batches of 8",
            "30 = 0.533 epochs of 56.2 steps",
            "warm-up 3, then linear",
        ):
            assert fact in shown.stdout
        assert re.search(r"memory +about [\d,]+ MiB", shown.stdout)
        assert "60,554" in shown.stdout
        assert not list(tmp_path.iterdir())

    def test_warns_of_a_batch_that_the_memory_does_not_hold(self, call: Call, small_config: Path) -> None:
        command = [
            "train",
            small_config,
            "--dry-run",
            "--set",
            "train.length=2 steps",
            "--set",
            "schedule.warmup=0 steps",
        ]
        shown = call(*command, "--set", "train.global_batch=16000000")
        assert shown.exit_code == 0
        (fix,) = re.findall(r"--set train\.micro_batch=\d+", shown.stdout + shown.stderr)
        assert "micro_batch" not in call(*command, "--set", "train.global_batch=16000000", *fix.split()).stderr

    def test_needs_no_writable_place_to_be_made(
        self, call: Call, small_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert call("train", small_config, "--dry-run", "--run-dir", "new/run").exit_code == 0
        assert not list(tmp_path.iterdir())


@pytest.mark.slow
class TestCompletedRun:
    def test_leaves_a_complete_run_directory(self, completed_run: tuple[Path, Result]) -> None:
        path, _ = completed_run
        names = {entry.name for entry in path.iterdir()}
        assert names - {".lock"} == {
            "config.yaml",
            "metrics.jsonl",
            "summary.json",
            "log.txt",
            "tensorboard",
            "checkpoints",
            "model.keras",
            "figures",
            "insight.json",
            "report.html",
        }
        assert json.loads((path / "summary.json").read_text())["status"] == "completed"
        assert not [entry for entry in path.rglob("*") if entry.name.startswith(".") and entry.name != ".lock"]

    def test_prints_plain_lines_and_keeps_them_in_the_log(self, completed_run: tuple[Path, Result]) -> None:
        path, shown = completed_run
        assert not CONTROL.search(shown.stdout)
        assert "  test  " in shown.stdout
        log = iter((path / "log.txt").read_text().splitlines())
        assert all(line in log for line in shown.stdout.splitlines()), "in this order, among TensorFlow's own"

    def test_says_nothing_on_standard_error(self, completed_run: tuple[Path, Result]) -> None:
        assert completed_run[1].stderr == ""

    def test_is_not_trained_again(self, call: Call, completed_run: tuple[Path, Result]) -> None:
        path, _ = completed_run
        before = {entry: entry.stat().st_mtime_ns for entry in path.rglob("*") if entry.name != ".lock"}
        again = call("train", path / "config.yaml", "--run-dir", path, "--resume", "auto")
        assert again.exit_code == 0
        assert "is complete: nothing to do" in again.stdout
        assert {entry: entry.stat().st_mtime_ns for entry in path.rglob("*") if entry.name != ".lock"} == before

    def test_quiet_prints_only_the_run_directory(self, call: Call, completed_run: tuple[Path, Result]) -> None:
        path, _ = completed_run
        shown = call("train", path / "config.yaml", "--resume", path, "--quiet")
        assert (shown.exit_code, shown.stdout, shown.stderr) == (0, f"{path}\n", "")

    def test_evaluate_gives_what_the_summary_says(self, call: Call, completed_run: tuple[Path, Result]) -> None:
        path, _ = completed_run
        summary = json.loads((path / "summary.json").read_text())
        for split in ("test", "validation"):
            shown = call("evaluate", path, "--split", split, "--json")
            result = json.loads(shown.stdout)
            assert result.pop("split") == split
            assert result["accuracy"] == summary[split]["accuracy"]
            assert result["examples"] == summary[split]["examples"]
            assert result["loss"] == pytest.approx(summary[split]["loss"], rel=1e-6)
        assert f"accuracy {summary['test']['accuracy']:.4f}  of 500" in call("evaluate", path).stdout

    def test_tensorboard_shows_every_split_in_two_runs(self, script: Path, completed_run: tuple[Path, Result]) -> None:
        path, _ = completed_run
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = start([script, "tensorboard", path, "--port", port])
        try:
            assert server.stdout is not None
            first = server.stdout.readline()
            assert f"http://127.0.0.1:{port}/" in first
            assert f"ssh -N -L {port}:127.0.0.1:{port} " in server.stdout.readline()
            tags = poll_tags(f"http://127.0.0.1:{port}/data/plugin/scalars/tags", {"train", "validation"}, server)
            assert set(tags) == {"train", "validation"}
            assert {"accuracy", "loss", "learning_rate"} <= set(tags["train"])
            assert set(tags["validation"]) == {"accuracy", "loss", "test/accuracy", "test/loss"}
        finally:
            server.kill()
            server.communicate()


def poll_tags(address: str, wanted: set[str], server: subprocess.Popen[str], seconds: float = 60) -> dict[str, Any]:
    """Ask a TensorBoard for its scalar tags until it has read those of the `wanted` splits."""
    end = time.monotonic() + seconds
    tags: dict[str, Any] = {}
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(address, timeout=5) as answer:
            tags = json.load(answer)
            if wanted <= tags.keys():
                return tags
        time.sleep(0.1)
    raise AssertionError(f"{tags.keys()} instead of {wanted}; server: {server.poll()}")


LONG = [
    "--set",
    "train.length=1000000 steps",
    "--set",
    "evaluate.every=5 steps",
    "--set",
    "checkpoint.every=5 steps",
]


@pytest.mark.slow
class TestStopped:
    def test_on_a_terminal_a_bar_moves_and_the_log_has_whole_lines(
        self, script: Path, small_config: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "run"
        ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
        command = [
            script,
            "train",
            small_config,
            "--run-dir",
            path,
            *LONG,
            "--set",
            "evaluate.every=100 epochs",
        ]
        process = subprocess.Popen(list(map(str, command)), stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        try:
            shown = read_until(ours, rb"images/s", process)
            process.send_signal(signal.SIGINT)
            shown += read_until(ours, rb"resume with: .*\n", process)
            assert process.wait(timeout=60) == 130
        finally:
            process.kill()
            process.wait()
            os.close(ours)
        assert b"\x1b[" in shown
        assert "━".encode() in shown
        log = (path / "log.txt").read_text()
        assert not CONTROL.search(log)
        assert "━" not in log.partition("stopped")[2]
        assert re.search(r"^epoch +[\d.]+  step +\d+/1,000,000  train  .* images/s .* left$", log, re.MULTILINE)


def read_until(terminal: int, pattern: bytes, process: subprocess.Popen[bytes], seconds: float = 120) -> bytes:
    """What the process writes to the terminal, up to `pattern`."""
    shown = b""
    end = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(terminal, selectors.EVENT_READ)
        while not re.search(pattern, shown):
            assert selector.select(max(0, end - time.monotonic())), shown[-2000:]
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # the process is gone, and with it the terminal's other end
                raise AssertionError(f"ended with {process.wait()}: {shown[-2000:]!r}") from None
    return shown


def test_a_dry_run_meets_nobody(call: Call, small_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = {"NUM_TASKS": "4", "NODELIST": "localhost", "TASKS_PER_NODE": "4"}
    for name, value in {f"SLURM_STEP_{name}": value for name, value in step.items()}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_PROCID", "0")
    ended = call("train", small_config, "--dry-run")
    assert ended.exit_code == 0
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("workers ")]
    for fact in ("4 (Slurm)", "assumed", "dry run connects to none"):
        assert fact in line
    assert "4 replicas" in ended.stdout


def test_changes_in_a_dict_are_told_to_be_keywords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="keywords"):
        harness.train("mnist", {"train": {"length": "1 epoch"}})  # type: ignore[arg-type]  # what is refused
    assert not list(tmp_path.iterdir())
