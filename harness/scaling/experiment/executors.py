"""Where the processes of an experiment run: here, a few at a time, or as array jobs of a Slurm cluster."""

import getpass
import importlib.util
import io
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from typing import IO, NamedTuple, Protocol, Self

from harness.cluster.environment import alone
from harness.errors import ConfigError, DeviceError, HarnessError, UserError
from harness.machine.requirements import install_slurm
from harness.machine.resources import deal_gpus
from harness.supervision.launch import PYTHON, die_with_parent

_SECONDS_TO_STOP = 120.0
"""For a process to end its chunk and save; then it is killed."""
_JOB_NAME = "harness-scale"
_MOST_AT_A_TIME = 1000
"""Slurm's own limit for an array (MaxArraySize), where it is not set."""


class Task(NamedTuple):
    """One process: a command, the file for what it prints, and one for stderr where that is to stand apart."""

    name: str
    command: Sequence[str]
    output: Path
    errors: Path | None = None


class Executor(Protocol):
    """Entered while tasks run: however that ends, what still runs is stopped."""

    capacity: int
    """So many tasks may be handed over at a time."""
    seconds_between_looks: float

    def for_timing(self) -> "Executor":
        """One whose tasks, as many as it takes at a time, leave each other's speed alone and have all devices."""

    def start(self, tasks: Sequence[Task]) -> None:
        """Run them, each as soon as there is room. Raises HarnessError where that can't be."""

    def ended(self) -> list[Task]:
        """Those that have ended, well or not, since this was asked last."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None:
        """Let all that run save and end, and wait for that."""


class Local:
    """Processes of this machine, which end with this one; the GPUs are dealt out among them."""

    seconds_between_looks = 0.1

    def __init__(self, max_parallel: int = 1) -> None:
        self.capacity = max_parallel
        dealt = deal_gpus(max_parallel, os.environ.get("CUDA_VISIBLE_DEVICES")) if max_parallel > 1 else None
        self.gpus: Sequence[Sequence[str]] | None = dealt
        """Of each process that runs at a time, the same for several where there are too few; None for all it finds."""
        self._running: dict[int, tuple[Task, subprocess.Popen[bytes]]] = {}

    def for_timing(self) -> "Local":
        return Local()

    def start(self, tasks: Sequence[Task]) -> None:
        free = [slot for slot in range(self.capacity) if slot not in self._running]
        for slot, task in zip(free, tasks, strict=False):
            with _files(task.output, task.errors) as (output, errors):
                process = subprocess.Popen(
                    task.command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    env=alone(os.environ) | self._gpus_of(slot),
                    start_new_session=True,
                    preexec_fn=die_with_parent,
                )
            self._running[slot] = task, process

    def _gpus_of(self, slot: int) -> dict[str, str]:
        return {} if self.gpus is None else {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus[slot])}

    def ended(self) -> list[Task]:
        slots = [slot for slot, (_, process) in self._running.items() if process.poll() is not None]
        return [self._running.pop(slot)[0] for slot in slots]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for _, process in self._running.values():
            process.send_signal(signal.SIGTERM)
        until = time.monotonic() + _SECONDS_TO_STOP
        for _, process in self._running.values():
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()


class Slurm:
    """Array jobs of a Slurm cluster, whose nodes see this machine's files and this Python."""

    seconds_between_looks = 2.0

    def __init__(self, folder: Path, options: Mapping[str, str | int], max_parallel: int | None = None) -> None:
        """Args:
        folder: for submitit's files.
        options: of sbatch, by their long names.
        max_parallel: how many tasks there are in the queue at a time; None for all that are wanted.
        """
        import submitit

        self.capacity = max_parallel or _MOST_AT_A_TIME
        self._jobs_file = folder / "jobs.txt"
        self._running: dict[str, Task] = {}
        self._executor = submitit.SlurmExecutor(folder, python=shlex.join(PYTHON))
        self._executor.update_parameters(
            job_name=_JOB_NAME,
            time=60,
            array_parallelism=self.capacity,
            # A minute before the time limit a trial is to save and end: submitit's own signal would kill it.
            additional_parameters={"signal": "TERM@60", **{key.replace("_", "-"): v for key, v in options.items()}},
        )

    @staticmethod
    def check() -> None:
        """Raises DeviceError where there is no Slurm, UserError where submitit is not installed."""
        if importlib.util.find_spec("submitit") is None:
            raise UserError(f"--executor slurm needs submitit: {install_slurm()}")
        if any(shutil.which(name) is None for name in ("sbatch", "squeue", "scancel", "srun")):
            raise DeviceError("--executor slurm: there is no Slurm here (sbatch, squeue, scancel, srun)")

    def clear_queue(self) -> None:
        """Cancel what is left there of an earlier, killed experiment in the same folder."""
        if self._jobs_file.exists():
            self._cancel(self._jobs_file.read_text().split())  # whose runs must be free before they resume
            self._jobs_file.unlink()

    def for_timing(self) -> "Slurm":
        self._executor.update_parameters(exclusive=True)
        return self

    def start(self, tasks: Sequence[Task]) -> None:
        if not tasks:
            return
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        jobs = []
        try:
            # submitit copies what sbatch says, which is reported below in a line of its own.
            with redirect_stderr(io.StringIO()), self._executor.batch():
                jobs = [self._executor.submit(_call, list(task.command), task.output, task.errors) for task in tasks]
        except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
            reason = f"sbatch refuses: {'; '.join(str(error).strip().splitlines()[-2:])}"
            if self._jobs_file.exists():  # what it took before it may take again
                raise HarnessError(f"{reason}; run the same command again to resume") from None
            raise ConfigError(f"scale.slurm: {reason}") from None
        self._running |= {job.job_id: task for job, task in zip(jobs, tasks, strict=True)}
        with self._jobs_file.open("a") as file:
            file.writelines(f"{job.job_id}\n" for job in jobs)

    def ended(self) -> list[Task]:
        queued = self._queued(self._running)
        return [self._running.pop(number) for number in list(self._running) if number not in queued]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._cancel(list(self._running))
        self._running.clear()

    def _queued(self, numbers: Iterable[str]) -> set[str]:
        """Those of the jobs that wait or run."""
        # Slurm's accounting, which submitit asks, is not everywhere; the queue is.
        own = [f"--user={getpass.getuser()}", f"--name={_JOB_NAME}"]
        command = ["squeue", "--noheader", "--array", *own, "--format=%i"]
        asked = subprocess.run(command, capture_output=True, text=True)
        if asked.returncode:
            return set(numbers)  # the controller is busy: there will be another look
        return set(numbers) & set(asked.stdout.split())

    def _cancel(self, numbers: Sequence[str]) -> None:
        """Let those of the jobs that are still in the queue save and end, and wait for that."""
        queued = self._queued(numbers)
        if not queued:
            return
        subprocess.run(["scancel", "--quiet", *sorted(queued)], capture_output=True)
        until = time.monotonic() + _SECONDS_TO_STOP
        while self._queued(queued) and time.monotonic() < until:
            time.sleep(self.seconds_between_looks)


def _call(command: Sequence[str], output: Path, errors: Path | None) -> int:
    """On the node: run the command."""
    with _files(output, errors) as (to, errors_to):
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=to, stderr=errors_to).returncode


@contextmanager
def _files(output: Path, errors: Path | None) -> Iterator[tuple[IO[str], IO[str] | int]]:
    with output.open("w") as to, errors.open("w") if errors else nullcontext(subprocess.STDOUT) as errors_to:
        yield to, errors_to
