import io
import time

import pytest
from rich.console import Console

from harness.console.progress import Progress
from harness.console.terminal import Terminal


def test_now_and_then_a_line_tells_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(Terminal(), seconds_between_lines=0.2) as progress:
        progress.expect(10)
        progress.step("maps")
        time.sleep(0.6)
        for _ in range(5):
            progress.step("checks")
            time.sleep(0.1)
        for _ in range(2):
            progress.step("checks")
        progress.expect(2)
        progress.step("filters")
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["maps", "checks", "filters"]
    (told,) = [line for line in lines if line.startswith(" ")]
    assert told.startswith("  5 of 10 steps, about 1 s left")


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_reaches_its_end() -> None:
    screen, terminal = Screen(), Terminal()
    terminal.console = Console(file=screen, force_terminal=True, width=80)
    with Progress(terminal) as progress:
        progress.expect(5)
        for _ in range(5):
            progress.step("checks")
    assert "100%" in screen.getvalue()
