"""Where the time goes: compiling, training, or neither (evaluation, checkpoints, pictures)."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Clock:
    """Seconds compiled and trained, over all starts of a run, and the pace of the newest chunk."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        """`now`: the seconds that have passed since some moment."""
        self._now = now
        self.compile_seconds = 0.0
        self.train_seconds = 0.0
        self.step_seconds = 0.0
        """Seconds per step in the newest chunk; 0 before the first."""

    @contextmanager
    def compiling(self) -> Iterator[None]:
        start = self._now()
        yield
        self.compile_seconds += self._now() - start

    @contextmanager
    def training(self, steps: int) -> Iterator[None]:
        start = self._now()
        yield
        seconds = self._now() - start
        self.train_seconds += seconds
        self.step_seconds = seconds / steps

    def steps_in(self, seconds: float) -> int:
        """How many steps take about `seconds`; few before the pace is known."""
        return 10 if not self.step_seconds else max(1, round(seconds / self.step_seconds))
