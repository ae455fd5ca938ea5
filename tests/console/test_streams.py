"""Standard streams whose reader goes away, or that were never there: in real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.runs.run_dir import RunDir
from tests.processes import forked

BEGIN = "import os, sys; from harness.console.streams import make_last; make_last(); "


def test_a_pipe_without_a_reader_takes_everything_and_says_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program = BEGIN + "[print('line', number) or sys.stdout.flush() for number in range(3)]; sys.stderr.write('end')"
    with open(writer, "wb") as gone:
        ended = subprocess.run([sys.executable, "-c", program], stdout=gone, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (0, "end")


def test_a_full_disk_is_still_an_error() -> None:
    with open("/dev/full", "wb") as full:
        program = BEGIN + "print('line')"
        ended = subprocess.run([sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode != 0
    assert "No space left" in ended.stderr


def test_but_not_to_a_run_whose_log_has_all_lines(tmp_path: Path) -> None:
    program = BEGIN + (
        "from pathlib import Path; from harness.console.terminal import Terminal; terminal = Terminal(); "
        f"terminal.log_to(Path({str(tmp_path / 'log')!r})); [terminal.line(f'line {{number}}') for number in range(3)]"
    )
    with open("/dev/full", "wb") as full:
        subprocess.run([sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE)
    assert (tmp_path / "log").read_text() == "line 0\nline 1\nline 2\n"


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with subprocess.Popen([sys.executable, "-c", BEGIN + "print('x' * 300_000)"], stdout=writer) as process:
        os.close(writer)
        with open(reader, "rb") as output:
            assert len(output.read()) == 300_001
        assert process.wait(10) == 0


def test_a_file_never_gets_the_number_of_a_missing_stream(tmp_path: Path) -> None:
    program = (
        BEGIN + f"open({str(tmp_path / 'file')!r}, 'w').write(str(print('a line')) + str(print('b', file=sys.stderr)))"
    )
    ended = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, program])
    assert ended.returncode == 0
    assert (tmp_path / "file").read_text() == "NoneNone"


def test_what_an_encoding_has_not_is_a_question_mark() -> None:
    program = BEGIN + "print('3 × 3'); print('3 × 3', file=sys.stderr)"
    ended = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "3 ? 3\n", "3 \\xd7 3\n")


@pytest.mark.slow
def test_training_goes_on_when_nobody_reads_what_it_prints(small_config: Path, tiny_model: str, tmp_path: Path) -> None:
    command = ["train", small_config, "--run-dir", tmp_path / "run", "--only-training", "--set", tiny_model]
    with forked(*command, "--set", "train.length=300 steps") as process:
        assert process.stderr is not None
        for line in process.stdout:
            if "  train  " in line:
                break
        process.stdout.close()
        process.stderr.close()
        assert process.wait(120) == 0
    run = RunDir.open(tmp_path / "run")
    assert run.read_summary()["status"] == "completed"
    assert "step 300/300" in run.log_file.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("seen", "step"), [("compiling the training step", 0), ("  train  ", 1)])
def test_a_closed_terminal_stops_in_good_order(
    small_config: Path, tiny_model: str, tmp_path: Path, seen: str, step: int
) -> None:
    command = ["train", small_config, "--run-dir", tmp_path / "run", "--set", tiny_model]
    with forked(*command, "--set", "train.length=9000 steps") as process:
        for line in process.stdout:
            if seen in line:
                break
        process.send_signal(signal.SIGHUP)
        _, error = process.communicate(timeout=60)
    run = RunDir.open(tmp_path / "run")
    steps = run.read_summary()["steps"]
    assert (process.returncode, run.read_summary()["status"]) == (128 + signal.SIGHUP, "stopped")
    assert step <= steps < 9000
    assert not steps or (run.checkpoints_dir / f"step-{steps}.safetensors").exists()
    assert error.startswith(f"stopped at step {steps:,}; resume with: ")


@pytest.mark.slow
def test_a_signal_while_pictures_are_made_says_how_to_go_on(small_config: Path, tmp_path: Path) -> None:
    with forked("train", small_config, "--run-dir", tmp_path / "run", "--set", "train.length=9 steps") as process:
        for line in process.stdout:
            if line.startswith("model "):
                break
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=60)
    run = RunDir.open(tmp_path / "run")
    assert process.returncode == 128 + signal.SIGTERM
    assert error.strip() == f"stopped; resume with: {run.resume_command()}"
    assert run.model_file.exists()
