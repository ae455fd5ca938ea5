import os
import pty
import re
import tty
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from harness.console.terminal import Terminal
from harness.training.progress import ProgressLines


def train_row(step: int, **values: Any) -> dict[str, Any]:
    row = {"step": step, "split": "train", "loss": 0.5, "accuracy": 0.75, "images_per_second": 12345.6}
    return row | values


def test_the_first_chunk_and_every_evaluation_are_lines(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    terminal = Terminal()
    terminal.log_to(tmp_path / "log.txt")
    progress = ProgressLines(terminal, step=0, total_steps=2000, steps_per_epoch=400.0)
    progress.write(train_row(100))
    progress.write(train_row(200))  # within ten seconds of the last: no line
    progress.write({"step": 200, "split": "validation", "loss": 0.25, "accuracy": 0.9, "examples": 500})
    progress.write({"step": 2000, "split": "test", "loss": 0.125, "accuracy": 0.95, "examples": 500})
    progress.close()
    terminal.close()
    train, *others = capsys.readouterr().out.splitlines()
    begin = "epoch  0.25  step   100/2,000  train       loss 0.5000  accuracy 0.7500  12,346 images/s  "
    assert re.fullmatch(re.escape(begin) + r"\d+:\d\d left", train)
    assert others == [
        "epoch  0.50  step   200/2,000  validation  loss 0.2500  accuracy 0.9000",
        "epoch  5.00  step 2,000/2,000  test        loss 0.1250  accuracy 0.9500",
    ]
    assert (tmp_path / "log.txt").read_text().splitlines() == [train, *others]


def test_the_last_row_of_training_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressLines(Terminal(), step=0, total_steps=30, steps_per_epoch=10.0)
    for step in (10, 20, 30):
        progress.write(train_row(step))
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split("step")[1].split("/")[0]) for line in lines] == [10, 30]


def test_lines_of_training_are_ten_seconds_apart(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    progress = ProgressLines(Terminal(), step=0, total_steps=100, steps_per_epoch=10.0)
    for step in range(1, 31):
        now += 1
        progress.write(train_row(step))
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split("step")[1].split("/")[0]) for line in lines] == [1, 11, 21]
    assert [line.split("  ")[-1] for line in lines] == ["1:39 left", "1:29 left", "1:19 left"]


def test_the_time_left_is_that_of_this_sitting(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    progress = ProgressLines(Terminal(), step=900, total_steps=1000, steps_per_epoch=10.0)
    now += 20
    progress.write(train_row(910))  # 10 steps in 20 s, 90 to go
    assert capsys.readouterr().out.endswith("3:00 left\n")


def test_a_quiet_terminal_prints_nothing_but_keeps_the_log(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    terminal = Terminal(quiet=True)
    terminal.log_to(tmp_path / "log.txt")
    progress = ProgressLines(terminal, step=0, total_steps=20, steps_per_epoch=4.0)
    progress.write(train_row(10))
    progress.close()
    terminal.close()
    assert capsys.readouterr().out == ""
    assert "step 10/20  train" in (tmp_path / "log.txt").read_text()


def everything(terminal: int) -> str:
    """What was written to a terminal whose other end is closed."""
    shown = b""
    with suppress(OSError):  # how Linux says that there is no more
        while part := os.read(terminal, 100_000):
            shown += part
    os.close(terminal)
    return shown.decode()


@pytest.mark.parametrize(("columns", "least_bar"), [(80, 15), (132, 15)])
def test_a_terminal_has_a_bar_and_the_time_left_on_one_line(
    monkeypatch: pytest.MonkeyPatch, columns: int, least_bar: int
) -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    with open(theirs, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        progress = ProgressLines(Terminal(), step=0, total_steps=85_938, steps_per_epoch=1718.8)
        progress.write(train_row(42_000))
        progress.close()
    shown = everything(ours)
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown))
    last = [line for line in lines if "42,000/85,938" in line][-1]
    assert len(last) <= columns
    assert last.count("━") + last.count("╸") + last.count("╺") >= least_bar
    assert re.search(r"accuracy 0.7500  12,346 images/s  \d+:\d\d left *$", last)
    assert ("loss 0.5000" in last) == (columns > 100)


def test_gradient_norms_are_not_for_reading_along(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressLines(Terminal(), step=0, total_steps=20, steps_per_epoch=4.0)
    progress.write({"step": 5, "split": "noise_scale", "small_sq": 2.0, "big_sq": 1.0})
    progress.close()
    assert capsys.readouterr().out == ""
