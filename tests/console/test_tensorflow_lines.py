"""TensorFlow's own lines are in the log and not on the terminal, and ours are on both: in real processes. What it says
while it is imported is of the first and the last two; the others are forked from a process that has imported it.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.config import dump, load
from tests.processes import completed

COMMAND = """
import os, signal, sys
from pathlib import Path
import click
from harness.cli import cli, main

@cli.command()
@click.argument("log", type=Path, required=False)
def speak(log):
    from harness.cli.startup import use_devices
    use_devices()
    import tensorflow as tf
    from absl import logging

    from harness.errors import UserError
    from harness.console.terminal import Terminal

    os.write(2, b"C++ before\\n")
    terminal = Terminal()
    if log:
        terminal.log_to(log)
    os.write(2, b"C++ after\\n")
    tf.get_logger().warning("TensorFlow's logger")
    logging.warning("absl's logger")
    step = tf.function(lambda number: number)
    for number in range(9):
        step(number)
    terminal.warning("ours")
    END

main()
"""
"""A command in which everybody has something to say."""
THEIRS = ["C++ before", "C++ after", "TensorFlow's logger", "absl's logger", "triggered tf.function retracing"]
REFUSE = "raise UserError('a mistake')"


def speak_from_the_start(*arguments: Path, end: str = REFUSE, **variables: str) -> "subprocess.CompletedProcess[str]":
    command: list[str | Path] = [sys.executable, "-c", COMMAND.replace("END", end), "speak", *arguments]
    return subprocess.run(command, env=os.environ | variables, text=True, capture_output=True)


def speak(*arguments: Path, end: str = REFUSE, **options: Any) -> "subprocess.CompletedProcess[str]":
    return completed("speak", *arguments, program=COMMAND.replace("END", end), **options)


@pytest.mark.slow
def test_they_are_in_the_log_and_ours_with_a_traceback_on_standard_error(tmp_path: Path) -> None:
    ended = speak_from_the_start(tmp_path / "log.txt", end="raise RuntimeError('a bug')")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("warning: ours\nTraceback")
    assert ended.stderr.endswith("RuntimeError: a bug\n")
    log = (tmp_path / "log.txt").read_text()
    places = [log.index(words) for words in [*THEIRS, "warning: ours"]]
    assert places == sorted(places)
    assert log.index("absl::InitializeLog") < places[0]  # what C++ said while TensorFlow was imported


def test_beside_a_log_there_is_what_we_say(tmp_path: Path) -> None:
    ended = speak(tmp_path / "log.txt")
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", "warning: ours\nerror: a mistake\n")


def test_without_a_log_they_are_nowhere() -> None:
    ended = speak()
    assert (ended.stdout, ended.stderr) == ("", "warning: ours\nerror: a mistake\n")


def test_standard_error_may_be_standard_output(tmp_path: Path) -> None:
    ended = speak(tmp_path / "log.txt", merged=True, end="print('last', flush=True); " + REFUSE)
    assert ended.stdout == "warning: ours\nlast\nerror: a mistake\n"


@pytest.mark.parametrize("end", ["os.abort()", "os.kill(os.getpid(), signal.SIGQUIT)"])
def test_a_crash_shows_its_stacks_and_what_was_said_before_is_in_the_log(tmp_path: Path, end: str) -> None:
    ended = speak(tmp_path / "log.txt", end=f"os.write(2, b'Check failed: everything\\n'); {end}")
    assert -ended.returncode in (signal.SIGABRT, signal.SIGQUIT)
    assert "(most recent call first):" in ended.stderr
    assert "in speak" in ended.stderr
    assert "Check failed" not in ended.stderr
    assert (tmp_path / "log.txt").read_text().endswith("Check failed: everything\n")


def test_who_asks_tensorflow_for_its_lines_sees_them(tmp_path: Path) -> None:
    ended = speak(env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"})
    assert all(words in ended.stderr for words in THEIRS)
    assert ended.stderr.endswith("error: a mistake\n")


def test_a_failing_import_shows_what_was_said_last(tmp_path: Path) -> None:
    broken = "import os\nos.write(2, b'no such instruction\\n')\nraise ImportError('TensorFlow is broken')\n"
    (tmp_path / "tensorflow.py").write_text(broken)
    ended = speak_from_the_start(PYTHONPATH=str(tmp_path))
    assert ended.returncode == 1
    assert ended.stderr.startswith("no such instruction\n")
    assert ended.stderr.endswith("ImportError: TensorFlow is broken\n")


@pytest.mark.slow
def test_a_python_process_that_trains_keeps_its_descriptors_and_its_own_lines(
    small_config: Path, tmp_path: Path
) -> None:
    config = tmp_path / "short.yaml"
    config.write_text(dump(load(small_config, ["train.length=9 steps"])))
    program = (
        "import os, sys, threading, time, harness\n"
        "def speak():\n"
        "    while 'tensorflow' not in sys.modules: time.sleep(0.01)\n"
        "    os.write(2, b'while it is imported\\n')\n"
        "threading.Thread(target=speak).start()\n"
        "before = os.fstat(2), sys.stderr\n"
        f"harness.train({str(config)!r}, {str(tmp_path / 'run')!r}, quiet=True, only_training=True)\n"
        "os.write(2, b'of the caller\\n')\n"
        "assert os.path.samestat(before[0], os.fstat(2)) and sys.stderr is before[1]\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == "while it is imported\nof the caller\n"
    assert "of the caller" not in (tmp_path / "run" / "log.txt").read_text()
