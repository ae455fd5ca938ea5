"""Standard output and error that no longer end a command when nobody can read them."""

import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import Any, TextIO

_GONE = (errno.EPIPE, errno.EIO, errno.ENXIO)
"""The reader of a pipe has ended, or the terminal is closed: whoever wanted to see it, doesn't."""


class _OutlivesReader(io.FileIO):
    """Writes to a file descriptor, and to nowhere once its reader is gone."""

    def write(self, data: Any, /) -> int:
        try:
            while (written := super().write(data)) is None:  # a pipe that doesn't block is full
                select.select([], [self], [])
            return written
        except OSError as error:
            if error.errno not in _GONE:
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(data).nbytes


def lasting(stream: TextIO, descriptor: int | None = None) -> TextIO:
    """The same stream, which goes silent when its reader is gone and shows a ? for what its encoding has not.

    A stream that is no file, as in a notebook, is given back, and can only do the second.

    Args:
        stream: standard output or error.
        descriptor: to write there instead, which is closed with the stream.
    """
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    with suppress(OSError):
        stream.flush()
    try:
        number = stream.fileno() if descriptor is None else descriptor
    except io.UnsupportedOperation:
        stream.reconfigure(errors="replace")
        return stream
    raw = _OutlivesReader(number, "w", closefd=descriptor is not None)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace" if stream is sys.stderr else "replace",
        line_buffering=True,
    )


def make_last() -> None:
    """Let this process's standard streams last, and open those that it was started without.

    Else the next file that is opened would get a missing stream's number, and with it what is meant for the stream.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = lasting(sys.stdout), lasting(sys.stderr)
