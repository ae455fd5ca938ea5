"""A process of `harness` that is ended where it takes too much memory or time, and why it ended."""

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.environment import alone
from harness.errors import HarnessError, UserError
from harness.launch import die_with_parent
from harness.scaling.find_batch.memory import above

_SECONDS_BETWEEN_LOOKS = 0.02
_OUT_OF_MEMORY = re.compile(
    r"out[ _]of[ _]memory|resource_?exhausted|MemoryError|bad_alloc|failed to alloc", re.IGNORECASE
)
_DEADLY = (signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS)
"""What a process that finds no more memory dies from: the kernel's choice, and TensorFlow's ways."""


@dataclass(frozen=True)
class Ended:
    """A process that is no more."""

    exit_code: int
    """-n after signal n."""
    ended_for: str | None
    """Why we did not leave it to its end."""
    peak_memory_bytes: int
    """Of its main memory, as often as we looked."""
    output: str
    errors: str

    def ran_out(self) -> str | None:
        """Why the machine had not enough for it, in a few words; None where it ended well.

        Raises UserError or HarnessError, with its last line, where it failed for another reason.
        """
        if self.ended_for is not None:
            return self.ended_for
        if self.exit_code == 0:
            return None
        if -self.exit_code in _DEADLY:
            return f"killed by {signal.Signals(-self.exit_code).name}"
        if self.exit_code == HarnessError.exit_code and _OUT_OF_MEMORY.search(self.errors):
            return "out of memory"
        last_line = (self.errors.strip().splitlines() or ["it said nothing"])[-1].removeprefix("error: ")
        if self.exit_code == UserError.exit_code:
            raise UserError(last_line)
        raise HarnessError(f"a process failed with exit code {self.exit_code}: {last_line}")


def run(command: Sequence[str], most_bytes: int | None, most_seconds: float) -> Ended:
    """Run a process, in no cluster, to its end or until it takes more than that. It never outlives this call."""
    peak, ended_for, deadline = 0, None, time.monotonic() + most_seconds
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            env=alone(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,  # so that a terminal's Ctrl-C is ours alone to handle
            preexec_fn=_die_first,
        )
        try:
            while process.poll() is None and ended_for is None:
                peak = max(peak, _peak_bytes(process.pid))
                if most_bytes is not None and peak > most_bytes:
                    ended_for = above(most_bytes)
                elif time.monotonic() > deadline:
                    ended_for = not_done(most_seconds)
                else:
                    time.sleep(_SECONDS_BETWEEN_LOOKS)
        finally:
            process.kill()
            process.wait()
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return Ended(process.returncode, ended_for, peak, *texts)


def not_done(seconds: float) -> str:
    """Why a process was ended that took longer."""
    return f"not done in {seconds:g} s"


def _die_first() -> None:
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
