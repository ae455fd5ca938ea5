"""Where the processes of an experiment run: here, a few at a time, or as array jobs of a Slurm cluster."""

import getpass
import io
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import NamedTuple, Protocol

from harness.cluster.environment import alone
from harness.errors import ConfigError, DeviceError, UserError
from harness.launch import die_with_parent
from harness.resources import share_gpus

_SECONDS_TO_STOP = 120.0
"""For a process to end its chunk and save; then it is killed."""


class Task(NamedTuple):
    """One process: a command, and the file for all that it prints."""

    name: str
    command: Sequence[str]
    output: Path


class Executor(Protocol):
    capacity: int
    """So many tasks may be handed over at a time."""
    is_undisturbed: bool
    """Whether tasks that run at the same time leave each other's speed alone."""
    seconds_between_looks: float

    def start(self, tasks: Sequence[Task]) -> None:
        """Run them, each as soon as there is room. Raises HarnessError where that can't be."""

    def ended(self) -> list[Task]:
        """Those that have ended, well or not, since this was asked last."""

    def stop(self) -> None:
        """Let all that run save and end, and wait for that."""


class Local:
    """Processes of this machine, which end with this one; the GPUs are shared equally among them."""

    is_undisturbed = False
    seconds_between_looks = 0.1

    def __init__(self, max_parallel: int = 1) -> None:
        """Raises DeviceError where there are fewer GPUs than processes."""
        self.capacity = max_parallel
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        try:
            shares = share_gpus(max_parallel, None, visible) if max_parallel > 1 else None
        except DeviceError as error:
            raise DeviceError(f"--max-parallel: {error}") from None
        self._environments = [
            {} if shares is None else {"CUDA_VISIBLE_DEVICES": ",".join(shares[slot])} for slot in range(max_parallel)
        ]
        self._running: dict[int, tuple[Task, subprocess.Popen[bytes]]] = {}

    def start(self, tasks: Sequence[Task]) -> None:
        free = [slot for slot in range(self.capacity) if slot not in self._running]
        for slot, task in zip(free, tasks, strict=False):
            with task.output.open("w") as output:
                process = subprocess.Popen(
                    task.command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**alone(os.environ), **self._environments[slot]},
                    start_new_session=True,
                    preexec_fn=die_with_parent,
                )
            self._running[slot] = task, process

    def ended(self) -> list[Task]:
        slots = [slot for slot, (_, process) in self._running.items() if process.poll() is not None]
        return [self._running.pop(slot)[0] for slot in slots]

    def stop(self) -> None:
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

    is_undisturbed = True
    seconds_between_looks = 2.0

    def __init__(self, folder: Path, options: Mapping[str, str | int], max_parallel: int | None = None) -> None:
        """Cancel what is left in the queue of an earlier, killed experiment in `folder`.

        Args:
            folder: for submitit's files.
            options: of sbatch, by their long names.
            max_parallel: how many tasks of an array run at a time; None for all that find room.

        Raises DeviceError where there is no Slurm, UserError where submitit is not installed.
        """
        try:
            import submitit
        except ImportError:
            raise UserError("--executor slurm needs submitit: pip install 'harness[slurm]'") from None
        if any(shutil.which(name) is None for name in ("sbatch", "squeue", "scancel", "srun")):
            raise DeviceError("--executor slurm: there is no Slurm here (sbatch, squeue, scancel, srun)")
        self.capacity = 1000
        self._jobs_file = folder / "jobs.txt"
        self._running: dict[str, Task] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if self._jobs_file.exists():
            self._cancel(self._jobs_file.read_text().split())
        self._executor = submitit.SlurmExecutor(folder)
        self._executor.update_parameters(
            job_name="harness-scale",
            time=60,
            array_parallelism=max_parallel or self.capacity,
            # A minute before the time limit a trial is to save and end: submitit's own signal would kill it.
            additional_parameters={"signal": "TERM@60", **{key.replace("_", "-"): v for key, v in options.items()}},
        )

    def start(self, tasks: Sequence[Task]) -> None:
        from submitit.core.utils import FailedJobError

        jobs = []
        try:
            # submitit copies what sbatch says, which is told below in a line of its own.
            with redirect_stderr(io.StringIO()), self._executor.batch():
                jobs = [self._executor.submit(_call, list(task.command), str(task.output)) for task in tasks]
        except (FailedJobError, subprocess.CalledProcessError) as error:
            raise ConfigError(f"scale.slurm: sbatch refuses: {' '.join(str(error).split())[-200:]}") from None
        with self._jobs_file.open("a") as file:
            file.writelines(f"{job.job_id}\n" for job in jobs)
        self._running |= {job.job_id: task for job, task in zip(jobs, tasks, strict=True)}

    def ended(self) -> list[Task]:
        # Slurm's accounting, which submitit asks, is not everywhere; the queue is.
        command = ["squeue", "--noheader", "--array", f"--user={getpass.getuser()}", "--format=%i"]
        asked = subprocess.run(command, capture_output=True, text=True)
        if asked.returncode:
            return []  # the controller is busy: there will be another look
        queued = set(asked.stdout.split())
        return [self._running.pop(number) for number in list(self._running) if number not in queued]

    def stop(self) -> None:
        self._cancel(list(self._running))
        until = time.monotonic() + _SECONDS_TO_STOP
        while self._running and time.monotonic() < until:
            self.ended()
            time.sleep(self.seconds_between_looks)

    def _cancel(self, numbers: Sequence[str]) -> None:
        if numbers:
            subprocess.run(["scancel", "--quiet", *numbers], capture_output=True)


def _call(command: Sequence[str], output: str) -> int:
    """On the node: run the command."""
    with open(output, "w") as file:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT).returncode
