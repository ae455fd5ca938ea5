"""How far a long look at files is: a live bar on a terminal, and lines where there is none."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from harness.cluster.heartbeat import Heartbeat

_SECONDS_BETWEEN_LINES = 10.0
_SHORT = 1.0
"""What takes no longer is not worth a line."""


class DecodingProgress:
    """Tells how many of `total` images are done, how many a second, and how long the others will take."""

    def __init__(self, what: str, total: int, done: int, say: Callable[[str], None]) -> None:
        self._what, self._total, self._done, self._say = what, total, done, say
        self._began = self._last_line = time.monotonic()
        self._at_first = done
        self._heartbeat = Heartbeat()
        self._is_live = sys.stderr is not None and sys.stderr.isatty()
        console = Console(stderr=True, markup=False, emoji=False)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Bar(*columns, console=console, transient=True, disable=not self._is_live)
        self._task = self._bar.add_task(what, total=total, completed=done)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def advance(self, images: int) -> None:
        self._done += images
        self._bar.advance(self._task, images)
        self._heartbeat.beat()  # else `harness launch` would take a long decoding for a hang
        now = time.monotonic()
        if now - self._last_line >= _SECONDS_BETWEEN_LINES and not self._is_live:
            self._last_line = now
            left = int((self._total - self._done) / self._rate(now))
            self._say(
                f"{self._what}: {self._done:,}, {self._rate(now):,.0f} a second, {left // 60}:{left % 60:02d} left"
            )

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        self._bar.stop()
        now = time.monotonic()
        if kind is None and now - self._began >= _SHORT:
            self._say(f"{self._what}: done in {now - self._began:,.0f} s, {self._rate(now):,.0f} a second")

    def _rate(self, now: float) -> float:
        return max(self._done - self._at_first, 1) / max(now - self._began, 1e-9)
