"""Several workers on this machine: started together, watched, and ended together. No TensorFlow in this process."""

import contextlib
import ctypes
import os
import selectors
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from harness.cluster import heartbeat
from harness.cluster.environment import alone, tf_config
from harness.console import tensorflow_lines
from harness.errors import UserError
from harness.machine import gpus
from harness.machine.resources import free_ports
from harness.runs.run_dir import LAUNCHED
from harness.stop_signals import StopSignals

PROGRAM = "from harness.cli import main; main()"
PYTHON = (sys.executable, "-P")
"""This Python, importing nothing from the current folder: a user's `random.py` there is not the library's."""
HARNESS = (*PYTHON, "-c", PROGRAM)
"""The command line in a new process of this Python, wherever the console script is."""
_GRACE_SECONDS = 3.0
"""What the others get to end by themselves after a death; they are to be gone within 5 seconds."""
_STOP_SECONDS = 30.0
"""What they get after a signal, when none has died: TensorFlow takes seconds to end on a slow or busy machine."""
_STACKS_SECONDS = 1.0
_OUT_OF_MEMORY = (signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV)
"""What a process that finds no more memory dies from: the kernel's choice, and TensorFlow's ways."""
_SECONDS_BETWEEN_LOOKS = 0.1
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Plan:
    """What to start, and how patient to be."""

    command: Sequence[str]
    """Arguments of `harness` that every worker gets."""
    workers: int
    options: Sequence[str]
    """Those of `harness launch`, for the command with which a stopped run goes on."""
    logs: Path
    """The folder for `worker-N.txt`, made when the first worker starts."""
    gpus: Sequence[Sequence[str]] | None
    """For each worker the GPUs that it may see; None for all it finds."""
    max_restarts: int
    restart_arguments: Sequence[str]
    """What a restarted worker gets too."""
    hang_timeout: float
    """Seconds without progress after which a worker counts as dead."""
    start_allowance: float
    """Seconds more until its first progress: the others have to show up, and the step to be compiled."""


def run(plan: Plan) -> int:
    """Start the workers, again after a failure as often as the plan says, and give the exit code.

    0 where all ended well; else the code of the worker that failed first the last time, 128 + n for signal n. A signal
    to this process goes on to the workers, and is the end whatever the plan says.
    """
    with StopSignals(interrupts=False) as signals:
        arguments = list(plan.command)
        for attempt in range(plan.max_restarts + 1):
            exit_code = _Attempt(plan, arguments, signals).run()
            if exit_code in (0, UserError.exit_code) or signals.received or attempt == plan.max_restarts:
                return exit_code
            _say(f"restart {attempt + 1} of {plan.max_restarts}, from the newest checkpoint")
            arguments = [*plan.command, *plan.restart_arguments]
        raise AssertionError("the last attempt returns")


@dataclass
class _Worker:
    index: int
    process: "subprocess.Popen[bytes]"
    log: FileIO
    started: float
    last_beat: float | None = None
    watched: bool = True
    unfinished: bytes = b""
    """What it has printed since its last whole line."""


class _Attempt:
    """All workers, from their start to the end of the last one."""

    def __init__(self, plan: Plan, arguments: Sequence[str], signals: StopSignals) -> None:
        self._plan = plan
        self._arguments = arguments
        self._signals = signals
        self._shows_output = True
        self._logs = True
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []

    def run(self) -> int:
        self._plan.logs.mkdir(parents=True, exist_ok=True)
        try:
            addresses = [f"127.0.0.1:{port}" for port in free_ports(self._plan.workers)]
            for index in range(self._plan.workers):
                self._workers.append(self._start(index, addresses))
            return self._watched()
        finally:
            for worker in self._workers:
                worker.process.kill()
                worker.process.wait()
            self._read(0)
            self._selector.close()
            for worker in self._workers:
                worker.log.close()

    def _start(self, index: int, addresses: list[str]) -> _Worker:
        beats, beat = os.pipe()
        output, said = os.pipe()
        environment = alone(os.environ) | {heartbeat.VARIABLE: str(beat), "PYTHONUNBUFFERED": "1"}
        environment[LAUNCHED] = shlex.join(self._plan.options)
        if len(addresses) > 1:
            environment["TF_CONFIG"] = tf_config(addresses, index)
        if index:  # the first one has the run's log, and warns for all
            environment |= {tensorflow_lines.LOG_VARIABLE: str(self._log(index)), gpus.TOLD: "1"}
        if self._plan.gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self._plan.gpus[index])
        process = subprocess.Popen(
            [*HARNESS, *self._arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            pass_fds=[beat],
            start_new_session=True,  # so that a terminal's Ctrl-C reaches it once, through us
            preexec_fn=die_with_parent,
        )
        os.close(beat)
        os.close(said)
        log = self._log(index).open("ab", buffering=0)
        worker = _Worker(index, process, log, time.monotonic())
        for pipe, reader in ((output, self._read_output), (beats, self._read_beats)):
            os.set_blocking(pipe, False)
            self._selector.register(pipe, selectors.EVENT_READ, (reader, worker))
        return worker

    def _watched(self) -> int:
        """Wait until all have ended, or one has failed and the others had their grace."""
        forwarded = 0
        failure: int | None = None
        deadline = float("inf")
        while (alive := self._alive()) and time.monotonic() < deadline:
            self._read(_SECONDS_BETWEEN_LOOKS)
            for number in self._signals.all[forwarded:]:
                for worker in alive:
                    # The terminal that is gone with SIGHUP is ours; the workers had none.
                    worker.process.send_signal(signal.SIGTERM if number == signal.SIGHUP else number)
                forwarded += 1
            if failure is None:
                failure = self._first_failure()
                if failure is None and (hung := self._hung()):
                    self._kill(hung)
                    failure = 128 + signal.SIGKILL
                if failure is not None:
                    grace = _STOP_SECONDS if self._signals.received else _GRACE_SECONDS
                    deadline = time.monotonic() + grace
        self._kill(alive)
        while self._selector.get_map() and self._read(0):
            pass
        return (self._first_failure() if failure is None else failure) or 0

    def _alive(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.process.poll() is None]

    def _first_failure(self) -> int | None:
        """The exit code of a worker that has failed; the chief's where several did since the last look."""
        for worker in self._workers:
            code = worker.process.poll()
            if code:
                how = f"ended with exit code {code}"
                if code < 0:
                    how = f"was killed by {signal.Signals(-code).name}"
                    if -code in _OUT_OF_MEMORY:
                        how += " (short of memory? then try a smaller train.micro_batch)"
                if not self._signals.received:
                    _say(f"worker {worker.index} {how}; ending the others")
                return 128 - code if code < 0 else code
        return None

    def _hung(self) -> list[_Worker]:
        """Once one has made no progress for too long, all that have made none for half that time: in step as they are,
        those that wait for the one that hangs may have been silent for a moment longer than it."""
        now = time.monotonic()
        silent = {worker.index: now - (worker.last_beat or worker.started) for worker in self._workers}
        watched = [worker for worker in self._alive() if worker.watched]
        if not any(silent[worker.index] > self._patience(worker) for worker in watched):
            return []
        hung = [worker for worker in watched if silent[worker.index] > self._patience(worker) / 2]
        for worker in hung:
            _say(f"worker {worker.index} made no progress for {silent[worker.index]:.0f} s")
        return hung

    def _patience(self, worker: _Worker) -> float:
        """Seconds without progress after which it counts as dead."""
        return self._plan.hang_timeout + (self._plan.start_allowance if worker.last_beat is None else 0.0)

    def _kill(self, workers: Sequence[_Worker]) -> None:
        """Have each write its Python stacks to its log, and to nowhere else, then kill it."""
        self._shows_output = self._shows_output and not workers
        for worker in workers:
            how = ", which is stopped, as by SIGSTOP" if _state(worker.process.pid) == "T" else ""
            _say(f"killing worker {worker.index}{how}; what it was doing is in {self._log(worker.index)}")
            worker.process.send_signal(signal.SIGQUIT)  # the handler writes the stacks, then lets the worker die
            worker.process.send_signal(signal.SIGCONT)
        end = time.monotonic() + _STACKS_SECONDS
        while time.monotonic() < end and any(worker.process.poll() is None for worker in workers):
            self._read(_SECONDS_BETWEEN_LOOKS)
        for worker in workers:
            worker.process.kill()

    def _log(self, index: int) -> Path:
        return self._plan.logs / f"worker-{index}.txt"

    def _read(self, timeout: float) -> bool:
        """Take what the workers have written; whether there was anything."""
        ready = self._selector.select(timeout)
        for key, _ in ready:
            reader, worker = key.data
            reader(key.fd, worker)
        return bool(ready)

    def _read_beats(self, pipe: int, worker: _Worker) -> None:
        if os.read(pipe, 65536):
            worker.last_beat = time.monotonic()
        else:
            worker.watched = False
            self._close(pipe)

    def _read_output(self, pipe: int, worker: _Worker) -> None:
        data = os.read(pipe, 65536)
        self._keep(data, worker)
        *lines, worker.unfinished = (worker.unfinished + data).split(b"\n")
        if not data:
            self._close(pipe)
            if worker.unfinished:
                lines.append(worker.unfinished)
        if not self._shows_output:
            return
        prefix = b"" if worker.index == 0 else f"[worker {worker.index}] ".encode()
        for line in lines:
            sys.stdout.buffer.write(prefix + line + b"\n")
        sys.stdout.flush()

    def _keep(self, data: bytes, worker: _Worker) -> None:
        """Write to the worker's log. A full disk is the chief's to report, and no reason to kill anyone."""
        try:
            worker.log.write(data)
        except OSError as error:
            if self._logs:
                _say(f"can't write {self._log(worker.index)}: {error.strerror}")
            self._logs = False

    def _close(self, pipe: int) -> None:
        self._selector.unregister(pipe)
        os.close(pipe)


def die_with_parent() -> None:
    """In the new process: the kernel is to kill it when we die, even by SIGKILL."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _state(pid: int) -> str:
    """The kernel's letter for what a process does; T is stopped."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def _say(text: str) -> None:
    print(f"launch: {text}", file=sys.stderr, flush=True)
