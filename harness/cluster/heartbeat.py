"""Signs of life for `harness launch`, which kills a worker that gives none for too long."""

import os
from collections.abc import Mapping
from contextlib import suppress

VARIABLE = "HARNESS_HEARTBEAT_FD"
"""Names the file descriptor of a pipe; unset where nobody watches."""


class Heartbeat:
    """A byte in the pipe for each beat; closing it ends the watch."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        text = environment.get(VARIABLE)
        self._pipe = int(text) if text else None

    def beat(self) -> None:
        """Training has come further."""
        if self._pipe is not None:
            with suppress(OSError):  # whoever watched is gone, which is no reason to stop
                os.write(self._pipe, b".")

    def end(self) -> None:
        """What follows takes its time."""
        if self._pipe is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            # Closed alone, its number would be that of the next file opened, into which a later Heartbeat would write.
            os.dup2(nowhere, self._pipe, inheritable=False)
            os.close(nowhere)
            self._pipe = None
