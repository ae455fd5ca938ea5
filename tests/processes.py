"""Processes that a test starts, watches and never leaves behind."""

import multiprocessing
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from harness.cluster.environment import tf_config
from harness.machine.resources import free_ports
from harness.runs.run_dir import RunDir

# Root may read and write everything; without these capabilities it is a user like any other.
AS_A_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []

MAIN = "from harness.cli import main; main()"

_BECOME = """
import os, sys
for number, pipe in enumerate(pipes, 1):
    with open(pipe, "wb", buffering=0) as end:
        os.dup2(end.fileno(), number)
if len(pipes) == 1:
    os.dup2(1, 2)
os.environ.clear()
os.environ.update(environment)
os.chdir(folder)
sys.argv = ["harness", *arguments]
"""


@cache
def _imported() -> ForkServerContext:
    """Forks from a process that has imported what the commands that compute import, and done nothing else.

    Such a command spends two seconds of its processor on that, more than a small training takes.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow", "matplotlib.pyplot", "harness.job", "harness.report.visualization"])
    errors = os.dup(2)
    with open(os.devnull, "w") as nowhere:  # what TensorFlow writes while it is imported
        os.dup2(nowhere.fileno(), 2)
    forkserver.ensure_running()
    os.dup2(errors, 2)
    os.close(errors)
    return context


class Forked:
    """`harness ARGUMENTS…` as a process of its own that doesn't begin with its imports; used like subprocess.Popen.

    What is about the start itself is started as users start it.
    """

    def __init__(
        self,
        *arguments: object,
        program: str = MAIN,
        cwd: Path | str = ".",
        env: Mapping[str, str] = os.environ,
        merged: bool = False,
    ) -> None:
        """`merged`: its errors come with its output."""
        with tempfile.TemporaryDirectory() as folder:
            pipes = [f"{folder}/{name}" for name in (["output"] if merged else ["output", "errors"])]
            for pipe in pipes:
                os.mkfifo(pipe)
            given = {
                "arguments": [str(argument) for argument in arguments],
                "folder": str(Path(cwd).absolute()),
                "environment": dict(env),
                "pipes": pipes,
            }
            self._process = _imported().Process(target=exec, args=(_BECOME + program, given))
            self._process.start()
            ends = [open(pipe) for pipe in pipes]  # noqa: SIM115  closed by `close`
        self.stdout, self.stderr = ends[0], ends[1] if len(ends) == 2 else None
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; -9 after SIGKILL."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(f"harness, process {self.pid}", timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What is left to come of output and errors, when it has ended."""
        with ThreadPoolExecutor(2) as pool:
            reading = [pool.submit(end.read) for end in (self.stdout, self.stderr) if end]
            texts = [each.result(timeout) for each in reading]
        self.wait(timeout)
        return texts[0], texts[1] if self.stderr else ""

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        self.wait()
        for end in (self.stdout, self.stderr):
            if end:
                end.close()


@contextmanager
def forked(*arguments: object, **options: Any) -> Iterator[Forked]:
    """`harness ARGUMENTS…` with the options of Forked; killed in the end."""
    with closing(Forked(*arguments, **options)) as process:
        yield process


def completed(*arguments: object, timeout: float = 300, **options: Any) -> "subprocess.CompletedProcess[str]":
    """What `harness ARGUMENTS…` has ended with, run with the options of Forked."""
    with forked(*arguments, **options) as process:
        output, errors = process.communicate(timeout)
        return subprocess.CompletedProcess(["harness", *map(str, arguments)], process.wait(), output, errors)


@contextmanager
def started(command: Sequence[str | Path], **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """The process, its output and errors in pipes unless `options` say otherwise; killed in the end."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **(pipes | options)) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def workers(
    commands: Sequence[Sequence[object]], folders: Sequence[Path], programs: Sequence[str] = (MAIN, MAIN)
) -> Iterator[list[Forked]]:
    """The workers of one cluster on 127.0.0.1, each with its arguments in its folder; the first is the chief."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(commands))]
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                forked(
                    *arguments, program=program, cwd=folder, env=os.environ | {"TF_CONFIG": tf_config(addresses, index)}
                )
            )
            for index, (arguments, folder, program) in enumerate(zip(commands, folders, programs, strict=True))
        ]


def wait_for_step(process: "Forked | subprocess.Popen[str]", run: Path, step: int) -> None:
    """Until the metrics say that it has been reached; the process must not end before."""
    metrics = RunDir(run)
    while not any(row["step"] >= step for row in metrics.read_metrics()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
