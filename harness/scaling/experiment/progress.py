"""What one reads while an experiment runs: a line for each trial that ends, and a live table of the batches."""

import time
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.table import Table

from harness.config.scale import Experiment
from harness.console.terminal import Terminal
from harness.scaling.experiment.plan import Setting, expected_trials
from harness.scaling.fit.selection import select
from harness.scaling.tables.trials import Trial


class ProgressTable:
    """To be entered while trials run; `before`: how many were done already."""

    def __init__(self, terminal: Terminal, experiment: Experiment, before: int) -> None:
        self._terminal = terminal
        self._experiment = experiment
        self._count = before
        self._start = self._last = time.monotonic()
        self._ended = 0
        self._latest: tuple[Sequence[Trial], Sequence[Setting], Collection[Setting]] = (), (), ()
        self._live = Live(console=terminal.console, get_renderable=self._table, refresh_per_second=1, transient=True)

    def __enter__(self) -> Self:
        if self._terminal.is_live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, done: Sequence[Trial], running: Sequence[Setting], failed: Collection[Setting]) -> None:
        """Have the table say this, where there is a terminal to draw it on."""
        self._latest = done, running, [*failed]

    def print_trial(self, setting: Setting, done: Sequence[Trial], failed: dict[Setting, str], seconds: float) -> None:
        """Print the line of a trial that has ended."""
        self._ended += 1
        self._last = time.monotonic()
        batch, rate, seed = setting
        trial = next((trial for trial in done if Setting.of(trial) == setting), None)
        if trial is not None:
            outcome = _outcome(trial)
        else:
            outcome = f"failed: {failed[setting]}" if setting in failed else "stopped, to be resumed"
        self._count += trial is not None or setting in failed
        self._terminal.line(
            f"{self._count:>3} of {self._total}  batch {batch:>6,}  rate {rate:<9g} seed {seed}  {outcome}  "
            f"({seconds:.0f} s; {self._time_left()})"
        )

    @property
    def _total(self) -> int:
        return max(expected_trials(self._experiment), self._count)

    def _time_left(self) -> str:
        """From the trials so far, as if those to come took as long; less the time since the last one ended."""
        if not self._ended:
            return "time left unknown until the first ends"
        now = time.monotonic()
        each = (self._last - self._start) / self._ended
        left = each * (self._total - self._count) - (now - self._last)
        return f"about {timedelta(seconds=max(0, round(left)))} left"

    def _table(self) -> Table:
        done, running, failed = self._latest
        elapsed = timedelta(seconds=round(time.monotonic() - self._start))
        table = Table(box=None, pad_edge=False, caption_justify="left")
        table.caption = f"{self._count} of {self._total} trials, {elapsed} so far, {self._time_left()}"
        for heading in ("batch", "best rate", "steps to target", "reached", "missed", "diverged", "failed", "running"):
            table.add_column(heading, justify="right")
        results = {result.global_batch: result for result in select(done, self._experiment.scale.seeds.select)}
        failures, runs = (Counter(setting.global_batch for setting in each) for each in (failed, running))
        for batch in sorted(self._experiment.scale.global_batches):
            result = results.get(batch)
            counts = result.counts if result else {"reached": 0, "missed": 0, "diverged": 0}
            known = result is not None and result.learning_rate is not None
            table.add_row(
                f"{batch:,}",
                f"{result.learning_rate:g}" if result and known else "",
                f"{result.median:,.0f}" if result and result.median is not None else "",
                *(str(number or "") for number in (*counts.values(), failures[batch], runs[batch])),
            )
        return table


def _outcome(trial: Trial) -> str:
    if trial.steps_high is None:
        return f"{trial.status} at step {trial.steps_low:,}"
    examples = trial.steps_high * trial.global_batch
    return f"reached within steps {trial.steps_low:,} to {trial.steps_high:,} ({examples:,} examples)"
