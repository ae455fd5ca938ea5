"""How far the pictures are: a bar where the output is a terminal, else a line for each thing that begins."""

from types import TracebackType

from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from harness.terminal import Terminal


class Progress:
    """Shown while it is entered."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=terminal.console,
            disable=not terminal.is_live,
            transient=True,
        )
        self._task = self._bar.add_task("loading the model", total=None)
        self._what = ""

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def expect(self, steps: int) -> None:
        """Say how many steps there are."""
        self._bar.update(self._task, total=steps)

    def step(self, what: str) -> None:
        """Say what begins; several steps in a row may be of one name."""
        if self._what:
            self._bar.advance(self._task)
        self._bar.update(self._task, description=what)
        if what != self._what:
            self._what = what
            if self._terminal.is_live:
                self._terminal.log(what)
            else:
                self._terminal.line(what)
