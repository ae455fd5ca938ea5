"""A run's rows, sent on to a tracker as checkpoints make sure of them."""

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from harness.config import Config
from harness.config.callbacks import MLflowSection, TrackerSection
from harness.console.terminal import Terminal
from harness.errors import Stopped
from harness.imports import reason
from harness.machine.requirements import check_extra
from harness.runs.run_dir import RunDir
from harness.trackers.mlflow_tracker import MLflow
from harness.trackers.tracker import Tracker
from harness.trackers.wandb_tracker import WandB
from harness.training.callback import Callback, Row
from harness.training.rows import without_images
from harness.training.state import State


def check(config: Config) -> None:
    """Raise UserError, with the command that installs it, where a tracker's library is missing."""
    for section in config.trackers:
        check_extra(section.name, f"callbacks: {section.name}")


class TrackerMirror(Callback):
    """Sends a run's rows to a tracker, in a with-statement, at whose end the tracker learns how the run has ended."""

    every = None

    def __init__(
        self,
        name: str,
        tracker: Tracker,
        config: Config,
        run: RunDir,
        rows: Sequence[Row],
        step: int,
        terminal: Terminal,
    ) -> None:
        """Follow on the `rows` that `run` has; those up to `step` are in a checkpoint."""
        self._rows = rows
        self._name = name
        self._tracker = tracker
        self._config = config
        self._run = run
        self._saved_step = step
        self._terminal = terminal
        self._sent: int | None = None
        """How many of the rows the tracker has taken since it began; None before that, and after a failure."""
        self._has_warned = False

    def __enter__(self) -> Self:
        self._send()
        return self

    def __call__(self, step: int, state: State, rows: Sequence[Row]) -> None:
        self._rows = rows

    def saved(self, step: int) -> None:
        """Send the rows up to a checkpoint that is safe now."""
        self._saved_step = step
        self._send()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._send()
        is_stopped = isinstance(error, Stopped | KeyboardInterrupt)
        try:
            self._tracker.end("completed" if error is None else "stopped" if is_stopped else "failed")
        except Exception as failure:  # noqa: BLE001  whatever a library or its server comes up with
            self._warn_once(failure)

    def _send(self) -> None:
        try:
            if self._sent is None:
                found = self._tracker.begin(self._config, self._run)
                self._terminal.line(f"tracker   {self._name}, {found}")
                self._sent = 0
            rows = [without_images(row) for row in self._rows[self._sent :] if row["step"] <= self._saved_step]
            self._tracker.add(rows)
            self._sent += len(rows)
        except Exception as failure:  # noqa: BLE001  as above
            self._sent = None
            self._warn_once(failure)

    def _warn_once(self, failure: Exception) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._terminal.warning(
                f"{self._name} can't be written to: {reason(failure)}. The rows are sent with a later checkpoint, or "
                f"by: {self._run.resume_command()}"
            )


def tracker_mirrors(
    config: Config, run: RunDir, rows: Sequence[Row], step: int, terminal: Terminal
) -> list[TrackerMirror]:
    """One for each tracker of the config, of the `rows` that `run` has up to `step` and those that will follow."""
    return [
        TrackerMirror(section.name, tracker_of(section), config, run, rows, step, terminal)
        for section in config.trackers
    ]


def catch_up(config: Config, run: RunDir, terminal: Terminal) -> None:
    """Send what the config's trackers lack of a run that has ended."""
    run.lock()
    try:
        rows = run.read_metrics()
        last = max((row["step"] for row in rows), default=0)
        with ExitStack() as stack:
            for mirror in tracker_mirrors(config, run, rows, last, terminal):
                stack.enter_context(mirror)
    finally:
        run.unlock()


def tracker_of(section: TrackerSection) -> Tracker:
    """The tracker that an entry of `callbacks` asks for; nothing is connected yet."""
    return MLflow(section) if isinstance(section, MLflowSection) else WandB(section)
