"""What TensorFlow writes by itself, from C++ and through Python loggers: off the terminal, and into the run's log.

C++ writes to file descriptor 2. In a process that has called `divert` that is no longer the terminal but a buffer, and
the run's log from when there is one; `sys.stderr`, and with it all that we say, goes where it went before. A process
that isn't ours alone has `kept_out` instead, while TensorFlow is imported and looks for devices.
"""

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from harness.console.streams import lasting

LOG_VARIABLE = "HARNESS_TENSORFLOW_LOG"
"""Names the file for them in a worker that has no run; `harness launch` sets it."""
_LOGGERS = ("tensorflow", "absl", "tf2onnx")
"""Keras logs through absl's; the last converts models to ONNX."""

_THEIRS = re.compile(rb"[IWEF]\d{4} \d\d:|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWEF] |.*before absl::InitializeLog")
"""How the lines that C++ logs begin, in absl's form and in TensorFlow's older one."""

_buffer: int | None = None
_in_turn = Lock()


def divert() -> None:
    """Hold what is written to file descriptor 2, for the rest of this process, until `append_to` names a file.

    Not where the user has asked TensorFlow for all of its lines: then they stay on the terminal.
    """
    global _buffer
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return
    sys.stderr = lasting(sys.stderr, os.dup(2))
    _buffer = os.memfd_create("tensorflow")
    os.dup2(_buffer, 2)


def divert_loggers() -> None:
    """Send what TensorFlow, once imported, logs in Python the same way."""
    if not _is_held():
        return
    handler = logging.StreamHandler(os.fdopen(2, "w", buffering=1, encoding="utf-8", closefd=False))
    handler.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False


def held() -> bytes:
    """What was written since `divert` and is in no file yet."""
    return os.pread(2, os.fstat(2).st_size, 0) if _is_held() else b""


def add(text: str) -> None:
    """Put a line of ours among those that are held, for the log."""
    if _is_held():
        os.write(2, f"{text}\n".encode())


def append_to(path: Path) -> None:
    """Send TensorFlow's lines to the end of that file, those held so far first; does nothing without `divert`."""
    if not _is_held():
        return
    with path.open("ab", buffering=0) as file:
        file.write(held())
        os.dup2(file.fileno(), 2)


@contextmanager
def kept_out() -> Iterator[None]:
    """Hold what is written to file descriptor 2 meanwhile, and write it there afterwards without the lines of C++.

    With them where it ends in an error; and nothing is held after `divert`, or where the user has asked TensorFlow for
    all of its lines.
    """
    if _buffer is not None or os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        yield
        return
    with _in_turn, os.fdopen(os.dup(2), "wb") as before, os.fdopen(os.memfd_create("tensorflow"), "rb") as buffer:
        os.dup2(buffer.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(before.fileno(), 2)
            buffer.seek(0)
            before.writelines(line for line in buffer if failed or not _THEIRS.match(line))


@contextmanager
def without_tracing_warnings() -> Iterator[None]:
    """Keep TensorFlow from warning of functions that are traced often: it adds up what all models of a process trace,
    and a program may train one after the other."""

    def is_another(record: logging.LogRecord) -> bool:
        return "triggered tf.function retracing" not in record.getMessage()

    logger = logging.getLogger("tensorflow")
    logger.addFilter(is_another)
    try:
        yield
    finally:
        logger.removeFilter(is_another)


def _is_held() -> bool:
    return _buffer is not None and os.path.sameopenfile(_buffer, 2)
