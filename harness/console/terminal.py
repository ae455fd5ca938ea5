"""What the user reads while a command runs: the terminal's lines, and the same lines in the run's log.txt, among
TensorFlow's own."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from rich.console import Console

from harness.console import tensorflow_lines
from harness.console.streams import lasting


class Terminal:
    """Prints lines to standard output unless `quiet`, and keeps them for the log in any case."""

    def __init__(self, quiet: bool = False) -> None:
        output = lasting(sys.stdout)
        self.console = Console(file=output, highlight=False, soft_wrap=True, quiet=quiet, markup=False, emoji=False)
        self.quiet = quiet
        self._before_log: list[str] = []
        self._log: IO[str] | None = None

    @property
    def is_live(self) -> bool:
        """Whether a progress bar can be drawn."""
        return self.console.file.isatty() and not self.quiet  # the console would believe FORCE_COLOR

    def line(self, text: str) -> None:
        """Print one or more whole lines."""
        try:
            self.console.print(text)
        except OSError:  # a full disk under the output is none of the run's
            self.console.quiet = True
        self.log(text)

    def warning(self, text: str) -> None:
        """Print a line to standard error, quiet or not."""
        with suppress(OSError):
            print(f"warning: {text}", file=sys.stderr, flush=True)
        self.log(f"warning: {text}")

    def log(self, text: str) -> None:
        """Keep a line for the log only."""
        if self._log is None:
            self._before_log.append(text)
        else:
            self._log.write(text + "\n")
            self._log.flush()

    def log_to(self, path: Path) -> None:
        """Append to the log at `path` from now on, what was printed before first, and TensorFlow's own lines too."""
        self._log = path.open("a", encoding="utf-8")
        for text in self._before_log:
            self.log(text)
        self._before_log.clear()
        tensorflow_lines.append_to(path)

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None
