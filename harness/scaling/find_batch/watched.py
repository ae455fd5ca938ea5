"""A process that measures on request, ended if it takes too much memory or time, and why it ended."""

import json
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from harness.cluster.environment import alone
from harness.errors import HarnessError, UserError
from harness.scaling.find_batch.memory import above
from harness.supervision.launch import die_with_parent

_SECONDS_BETWEEN_LOOKS = 0.02
_OUT_OF_MEMORY = re.compile(
    r"out[ _]of[ _]memory|resource_?exhausted|MemoryError|bad_alloc|failed to alloc", re.IGNORECASE
)
_DEADLY = (signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS)
"""What a process that finds no more memory dies from: the kernel's choice, and TensorFlow's ways."""


@dataclass(frozen=True)
class Ended:
    """What came of a request: an answer, or the end of the process."""

    exit_code: int
    """The answer's, 0 where it is a result; of a process that ended, where -n is signal n."""
    ended_for: str | None
    """Why we did not leave the process to its end."""
    peak_memory_bytes: int
    """Of the process's main memory since its start, as often as we looked."""
    result: dict[str, Any] | None
    errors: str
    """The answer's, or what a process that ended has written to standard error."""

    def why_out_of_memory(self) -> str | None:
        """Why the machine had not enough for it, in a few words; None where there is a result.

        Raises UserError or HarnessError, with its last line, where it failed for another reason.
        """
        if self.ended_for is not None:
            return self.ended_for
        if self.result is not None:
            return None
        if -self.exit_code in _DEADLY:
            return f"killed by {signal.Signals(-self.exit_code).name}"
        if self.exit_code == HarnessError.exit_code and _OUT_OF_MEMORY.search(self.errors):
            return "out of memory"
        last_line = (self.errors.strip().splitlines() or ["it printed nothing"])[-1].removeprefix("error: ")
        if self.exit_code == UserError.exit_code:
            raise UserError(last_line)
        raise HarnessError(f"a process failed with exit code {self.exit_code}: {last_line}")


class Process:
    """Outside any cluster; started on the first request, and again if it has ended; it never outlives its `with`."""

    def __init__(self, command: Sequence[str]) -> None:
        """Args:
        command: of a process that for each line of JSON on its standard input prints one: {"result": an object}, or
            {"error": text, "exit_code"}.
        """
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._open = ExitStack()

    def ask(self, request: Mapping[str, Any], most_bytes: int | None, most_seconds: float) -> Ended:
        """Wait for the answer or the end of the process, which is ended where it takes more than that."""
        if self._process is None or self._process.poll() is not None:
            self._process = self._started()
        process, answer = self._process, bytearray()
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):  # it has ended, as is seen below
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        peak, ended_for, deadline = 0, None, time.monotonic() + most_seconds
        while not answer.endswith(b"\n"):
            peak = max(peak, _peak_bytes(process.pid))
            if most_bytes is not None and peak > most_bytes:
                ended_for = above(most_bytes)
            elif time.monotonic() > deadline:
                ended_for = not_done(most_seconds)
            if ended_for is not None:
                self.end()
                break
            if select.select([process.stdout], [], [], _SECONDS_BETWEEN_LOOKS)[0]:
                if not (some := os.read(process.stdout.fileno(), 65536)):
                    process.wait()
                    break
                answer += some
        else:
            found = json.loads(answer)
            return Ended(found.get("exit_code", 0), None, peak, found.get("result"), found.get("error", ""))
        self._errors.seek(0)
        return Ended(process.returncode, ended_for, peak, None, self._errors.read().decode(errors="replace"))

    def end(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def __enter__(self) -> Self:
        self._errors = self._open.enter_context(tempfile.TemporaryFile())
        return self

    def __exit__(self, *error: object) -> None:
        self.end()
        self._open.close()

    def _started(self) -> "subprocess.Popen[bytes]":
        self._errors.seek(0)
        self._errors.truncate()
        return subprocess.Popen(
            self._command,
            env={"TF_CPP_MIN_LOG_LEVEL": "2"} | alone(os.environ),  # so that the last line is not TensorFlow's
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # so that a terminal's Ctrl-C is ours alone to handle
            preexec_fn=_die_with_parent_and_first,
        )


def not_done(seconds: float) -> str:
    """Why a process was ended that took longer."""
    return f"not done in {seconds:g} s"


def _die_with_parent_and_first() -> None:
    """In the new process: it is not to outlive us, and where memory runs out the kernel is to choose it."""
    die_with_parent()
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _peak_bytes(pid: int) -> int:
    """The most main memory that the process had so far; 0 where it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
