"""How far the work is: a bar if the output is a terminal, else a line for each thing that begins and, now and then, the
time left."""

import time
from types import TracebackType

from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from harness.console.terminal import Terminal

_BETWEEN_LINES = 15.0
"""Seconds at least from one line about the time left to the next."""
_FEW = 5
"""Steps from which the time left is estimated."""


class Progress:
    """Shown while it is entered."""

    def __init__(self, terminal: Terminal, seconds_between_lines: float = _BETWEEN_LINES) -> None:
        self._terminal = terminal
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=terminal.console,
            disable=not terminal.is_live,
            transient=True,
        )
        self._task = self._bar.add_task("loading the model", total=None)
        self._what = ""
        self._between = seconds_between_lines
        self._steps = 0
        self._began: list[float] = []
        self._last_line = time.monotonic()

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        self._bar.stop()

    def finish(self) -> None:
        """Say that the last step of a section is done, while what it found is written."""
        if self._steps:
            self._bar.update(self._task, completed=self._steps, refresh=True)

    def expect(self, steps: int) -> None:
        """Say that a section of the page begins, and how many steps it has."""
        self._bar.reset(self._task, total=steps, description="")
        self._what, self._steps, self._began = "", steps, []
        self._last_line = time.monotonic()

    def step(self, what: str) -> None:
        """Say what begins; several steps in a row may be of one name."""
        if self._began:
            self._bar.advance(self._task)
        self._bar.update(self._task, description=what)
        if what != self._what:
            self._what = what
            if self._terminal.is_live:
                self._terminal.log(what)
            else:
                self._terminal.line(what)
        self._began.append(time.monotonic())
        self._tell_time_left()

    def _tell_time_left(self) -> None:
        """By the last few steps, for those of a section take longer or shorter as it goes on."""
        now, done = self._began[-1], len(self._began) - 1
        if self._terminal.is_live or done < _FEW or now - self._last_line < self._between:
            return
        left = (now - self._began[-1 - _FEW]) / _FEW * (self._steps - done)
        self._terminal.line(f"  {done} of {self._steps} steps, about {left:.0f} s left")
        self._last_line = now
