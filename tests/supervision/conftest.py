"""A training of a moment's work that takes a second: long enough to be disturbed."""

from collections.abc import Callable
from pathlib import Path

import pytest

PAUSES = """
import os
import time

def pause(step, state, rows):
    hang = os.environ.get("HANG", "")
    if os.path.exists(hang):  # once
        os.remove(hang)
        time.sleep(3600)
    time.sleep(0.1)
"""


@pytest.fixture(scope="session")
def unhurried(made_once: Callable[..., Path]) -> tuple[Path, str]:
    """The folder to start processes in, and the setting of a callback that waits every ten steps: an hour where the
    file exists that the variable HANG names, after removing it."""
    folder = made_once("unhurried", lambda made: made.joinpath("pauses.py").write_text(PAUSES))
    return folder, "callbacks=[{name: pauses:pause, every: 10 steps}]"
