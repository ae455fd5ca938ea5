"""SIGINT, SIGTERM and SIGHUP: as a wish to stop, read between chunks, or as an exception at once."""

import signal
import threading
from types import FrameType, TracebackType
from typing import NoReturn, Self


def handled_signals() -> list[signal.Signals]:
    """Those that ask for an end, but for what is ignored, as SIGHUP is under nohup."""
    asking = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in asking if signal.getsignal(number) is not signal.SIG_IGN]


class Interrupted(KeyboardInterrupt):
    """Raised by `signal_number`, where nothing waits to save a state first."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number


def raise_for_signals() -> None:
    """Have SIGTERM and SIGHUP raise Interrupted from now on, where Python has SIGINT raise KeyboardInterrupt."""
    for number in handled_signals():
        if number != signal.SIGINT:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted(number)


class StopSignals:
    """While entered, signals are kept in `all`, the newest in `received` too; a second SIGINT interrupts at once.

    A signal that is ignored stays so, as SIGHUP under nohup, and in a thread, which gets none, they are left alone.

    To be entered after the strategy is built: MultiWorkerMirroredStrategy installs a SIGTERM handler of its own.
    """

    def __init__(self, interrupts: bool = True) -> None:
        """`interrupts`: whether a second SIGINT does; it is kept too where all are to be handed on."""
        self.all: list[int] = []
        self._interrupts = interrupts

    @property
    def received(self) -> int:
        """The newest signal; 0 where there was none."""
        return self.all[-1] if self.all else 0

    def __enter__(self) -> Self:
        handled = handled_signals() if threading.current_thread() is threading.main_thread() else []
        self._previous = {number: signal.signal(number, self._receive) for number in handled}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._interrupts and self.all and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.all.append(number)
