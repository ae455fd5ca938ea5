"""SIGINT and SIGTERM as a wish to stop, read between chunks."""

import signal
from types import FrameType, TracebackType
from typing import Self


class StopSignals:
    """While entered, the first SIGINT or SIGTERM is kept in `received`; a second SIGINT interrupts at once.

    To be entered after the strategy is built: MultiWorkerMirroredStrategy installs a SIGTERM handler of its own.
    """

    def __init__(self) -> None:
        self.received = 0

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
