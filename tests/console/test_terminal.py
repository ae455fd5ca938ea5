"""What is printed, and that the log holds the same whole lines."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.console.terminal import Terminal


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.txt"


def test_the_log_holds_what_was_printed_before_and_after_it_was_opened(
    capsys: pytest.CaptureFixture[str], log: Path
) -> None:
    terminal = Terminal()
    terminal.line("before")
    terminal.log_to(log)
    terminal.line("after\ntwo lines")
    terminal.close()
    out, err = capsys.readouterr()
    assert out == log.read_text() == "before\nafter\ntwo lines\n"
    assert err == ""


def test_the_log_begins_with_our_lines_and_not_with_tensorflow_s(log: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from harness.console import tensorflow_lines\n"
        "from harness.console.terminal import Terminal\n"
        "tensorflow_lines.divert(); os.write(2, b'theirs\\n')\n"
        "terminal = Terminal(); terminal.line('ours'); terminal.log_to(Path(sys.argv[1]))\n"
    )
    subprocess.run([sys.executable, "-c", program, log], check=True, capture_output=True)
    assert log.read_text() == "ours\ntheirs\n"


def test_a_line_is_in_the_log_at_once(log: Path) -> None:
    terminal = Terminal(quiet=True)
    terminal.log_to(log)
    terminal.line("now")
    assert log.read_text() == "now\n"
    terminal.close()


def test_the_log_is_added_to(log: Path) -> None:
    for word in ("first", "second"):
        terminal = Terminal(quiet=True)
        terminal.log_to(log)
        terminal.line(word)
        terminal.close()
    assert log.read_text() == "first\nsecond\n"


def test_quiet_prints_nothing_but_warnings_and_logs_everything(capsys: pytest.CaptureFixture[str], log: Path) -> None:
    terminal = Terminal(quiet=True)
    terminal.log_to(log)
    terminal.line("a line")
    terminal.warning("take care")
    terminal.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "warning: take care\n"
    assert log.read_text() == "a line\nwarning: take care\n"


@pytest.mark.parametrize(
    "text",
    ["x" * 500, "[bold]no markup[/bold] [/]", "runs/:smile:/a", "1,234 https://example.org [1, 2]"],
)
def test_text_is_printed_as_it_is(capsys: pytest.CaptureFixture[str], text: str) -> None:
    Terminal().line(text)
    assert capsys.readouterr().out == text + "\n"


def test_a_pipe_is_not_live(capsys: pytest.CaptureFixture[str]) -> None:
    assert not Terminal().is_live


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_lacks_a_character_gets_another_and_the_log_the_right_one(
    encoding: str, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io
    import sys

    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    terminal = Terminal()
    terminal.log_to(log)
    terminal.line("global batch 128 = 2 replicas × 64, seed (0 → 1)")
    terminal.close()
    assert b"global batch 128 = 2 replicas" in stream.buffer.getvalue()
    assert log.read_text(encoding="utf-8") == "global batch 128 = 2 replicas × 64, seed (0 → 1)\n"
