"""Processes side by side, watched, and none left running; one can be killed on purpose, and another follow it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.cluster.environment import alone
from harness.supervision.launch import die_with_parent

_SECONDS_BETWEEN_LOOKS = 0.005
"""Short against the steps between two checkpoints, so that a process is killed where it is meant to be."""


@dataclass(frozen=True)
class Task:
    """A process to come. Its output and errors go to `NAME.out` and `NAME.err` in the logs."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str | None] = field(default_factory=dict)
    """Variables to set, or with None to remove."""
    kill_at: Path | None = None
    """Kill it as soon as this file is there."""
    then: "Task | None" = None
    """What starts once it has ended, however that was."""

    def chain(self) -> "list[Task]":
        """This task, and what follows it."""
        return [self, *(self.then.chain() if self.then is not None else [])]


@dataclass(frozen=True)
class Ended:
    """What became of a task."""

    problem: str | None
    """Why it did not end well, in one line; None where it did, or was killed at its file."""
    killed: bool
    """Whether it was, at its file."""
    stopped: bool
    """Whether the user stopped everything before it was done, so that nothing is known about it."""
    seconds: float


def run(
    tasks: Sequence[Task],
    at_once: int,
    seconds: float,
    logs: Path,
    ends: dict[str, Ended],
    heard: Callable[[str, str], None] = lambda name, line: None,
    on_end: Callable[[str, Ended], None] = lambda name, ended: None,
) -> None:
    """Run the tasks, so many at a time, and put into `ends` what became of each, by name.

    Args:
        tasks: in the order in which they start.
        at_once: processes at a time.
        seconds: for all of them together; what is not done by then is ended.
        logs: a folder, made if it is not there.
        ends: holds every task as soon as this begins, so it is complete also when this raises.
        heard: is given each line that a process prints, with the task's name.
        on_end: is given each task that has ended.
    """
    logs.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + seconds
    names = [task.name for first in tasks for task in first.chain()]
    ends.update(dict.fromkeys(names, Ended("stopped before it was done", killed=False, stopped=True, seconds=0.0)))
    waiting, running = list(tasks), list[_Running]()
    try:
        while waiting or running:
            if time.monotonic() > deadline:
                late = Ended(f"not done in the {seconds:g} s for this stage", False, False, seconds)
                ends.update({name: late for name in names if ends[name].stopped})
                return
            while waiting and len(running) < at_once:
                running.append(_Running(waiting.pop(0), logs))
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            for each in list(running):
                done = each.look()
                for line in each.lines():
                    heard(each.task.name, line)
                if done:
                    running.remove(each)
                    each.close()
                    ends[each.task.name] = each.end()
                    on_end(each.task.name, ends[each.task.name])
                    if each.task.then is not None:
                        waiting.insert(0, each.task.then)
    finally:
        for each in running:
            each.kill()
            each.close()


class _Running:
    """A task's process."""

    def __init__(self, task: Task, logs: Path) -> None:
        self.task = task
        self._killed = False
        self._started = time.monotonic()
        self._errors = logs / f"{task.name}.err"
        environment = alone(os.environ) | {"PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
        for name, value in task.environment.items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
        output = logs / f"{task.name}.out"
        with output.open("w") as out, self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                task.command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                start_new_session=True,  # so that a terminal's Ctrl-C is ours alone to handle
                preexec_fn=die_with_parent,
            )
        self._output = output.open(errors="replace")
        self._unfinished = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def look(self) -> bool:
        """Whether it has ended; it is killed here where its file has come."""
        if self._process.poll() is not None:
            return True
        if self.task.kill_at is not None and self.task.kill_at.exists():
            self.kill()
            self._killed = True
        return self._killed

    def lines(self) -> list[str]:
        """The whole lines that it printed since the last call."""
        *whole, self._unfinished = (self._unfinished + self._output.read()).split("\n")
        return whole

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self._output.close()

    def end(self) -> Ended:
        return Ended(None if self._killed else self._problem(), self._killed, False, self.seconds)

    def _problem(self) -> str | None:
        code = self._process.returncode
        if code == 0:
            return None
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        said = self._errors.read_text(errors="replace").strip().splitlines()
        return said[-1].removeprefix("error: ") if said else f"exit code {code}, and it printed nothing"
