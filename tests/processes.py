"""Processes that a test starts, watches and never leaves behind."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from harness.cluster.environment import tf_config
from harness.machine.resources import free_ports
from harness.runs.run_dir import RunDir


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
def workers(commands: Sequence[Sequence[str]], folders: Sequence[Path]) -> Iterator[list["subprocess.Popen[str]"]]:
    """The workers of one cluster on 127.0.0.1, each with its command in its folder; the first is the chief."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(commands))]
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                started(command, cwd=folder, env=os.environ | {"TF_CONFIG": tf_config(addresses, index)})
            )
            for index, (command, folder) in enumerate(zip(commands, folders, strict=True))
        ]


def wait_for_checkpoint(process: "subprocess.Popen[str]", run: Path, step: int) -> None:
    """Until the checkpoint of that step is there; the process must not end before."""
    while not (run / "checkpoints" / f"step-{step}.safetensors").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def wait_for_step(process: "subprocess.Popen[str]", run: Path, step: int) -> None:
    """Until the metrics say that it has been reached; the process must not end before."""
    metrics = RunDir(run)
    while not any(row["step"] >= step for row in metrics.read_metrics()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
