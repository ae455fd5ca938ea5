"""Rows as lines of text, and a live bar where the output is a terminal."""

import time

from rich.progress import BarColumn, Progress, TextColumn

from harness.console.terminal import Terminal
from harness.training.callback import Row
from harness.training.noise_scale import SPLIT as NOISE_SCALE
from harness.training.rows import CALLBACK, Mirror, evaluation_text

_SECONDS_BETWEEN_LINES = 10
_WIDE = 110
"""Columns from which the bar's line has room for the epoch and the loss."""


class ProgressLines(Mirror):
    """Tells a person how far training is."""

    def __init__(self, terminal: Terminal, step: int, total_steps: int, steps_per_epoch: float, taken: int = 0) -> None:
        super().__init__(taken)
        self._terminal = terminal
        self._total = total_steps
        self._steps_per_epoch = steps_per_epoch
        self._start = (time.monotonic(), step)
        self._last_line = 0.0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),  # what the numbers leave of the line
            TextColumn("{task.fields[numbers]}"),
            console=terminal.console,
            disable=not terminal.is_live,
            transient=True,
            expand=True,
        )
        self._task = self._bar.add_task("starting", total=total_steps, completed=step, numbers="")
        self._bar.start()

    def write(self, row: Row) -> None:
        if row["split"] in (NOISE_SCALE, CALLBACK):  # the noise scale is printed at the end, when its interval is known
            return
        if row["split"] != "train":
            self._terminal.line(f"{self._position(row['step'])}  {row['split']:10}  {evaluation_text(row)}")
            return
        position, loss = self._position(row["step"]), f"loss {row['loss']:.4f}  "
        numbers = (
            f"accuracy {row['accuracy']:.4f}  {row['images_per_second']:,.0f} images/s  "
            f"{self._time_left(row['step'])} left"
        )
        line = f"{position}  train       {loss}{numbers}"
        if self._terminal.console.width < _WIDE:
            position, loss = f"{row['step']:,}/{self._total:,}", ""
        self._bar.update(self._task, description=position, completed=row["step"], numbers=loss + numbers)
        now = time.monotonic()
        is_last = row["step"] >= self._total
        if now - self._last_line < _SECONDS_BETWEEN_LINES and not is_last:
            return
        self._last_line = now
        if self._terminal.is_live and not is_last:
            self._terminal.log(line)
        else:
            self._terminal.line(line)

    def close(self) -> None:
        self._bar.stop()

    def _position(self, step: int) -> str:
        width = len(f"{self._total:,}")
        return f"epoch {step / self._steps_per_epoch:5.2f}  step {step:>{width},}/{self._total:,}"

    def _time_left(self, step: int) -> str:
        start_time, start_step = self._start
        seconds = (time.monotonic() - start_time) * (self._total - step) / max(1, step - start_step)
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
