"""The table of trials: what is written is read back, any other trainer's table too, and what is wrong is one line."""

import re
from pathlib import Path

import pytest

from harness.errors import DataError
from harness.scaling.tables.trials import Trial, read, write

HEADER = "global_batch,learning_rate,seed,steps_low,steps_high,status\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trials.csv"


def test_what_is_written_is_read_back(file: Path) -> None:
    trials = [
        Trial(16, 0.1 + 0.2, 0, 95, 100, "reached"),
        Trial(32, 1e-7, 1, 0, 7, "reached"),
        Trial(4096, 3.0, 2, 500, None, "missed"),
        Trial(4096, 6.0, 2, 12, None, "diverged"),
    ]
    write(file, trials, comments=["accuracy at least 0.985", "two\nlines"])
    assert read(file) == trials
    assert file.read_text().startswith("# accuracy at least 0.985\n# two\n# lines\nglobal_batch,")
    assert [entry.name for entry in file.parent.iterdir()] == ["trials.csv"], "nothing is left beside it"


def test_a_table_of_another_trainer_is_read(file: Path) -> None:
    """As pandas writes it, with a byte-order mark, Windows line ends, its own columns and order."""
    file.write_bytes(
        b"\xef\xbb\xbf# by hand\r\nstatus, note ,steps_high,steps_low,seed,learning_rate,global_batch\r\n"
        b'reached,"a, b",120.0,1e2,0,1e-1,16\r\n\r\n# in between\r\nmissed,,NaN,100,0,0.10,32\r\n'
    )
    assert read(file) == [Trial(16, 0.1, 0, 100, 120, "reached"), Trial(32, 0.1, 0, 100, None, "missed")]


def test_steps_are_the_middle_of_their_interval() -> None:
    assert Trial(16, 0.1, 0, 90, 160, "reached").steps == pytest.approx(120)
    assert Trial(16, 0.1, 0, 0, 7, "reached").steps == 3.5
    assert Trial(16, 0.1, 0, 90, None, "missed").steps is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", " is empty: .*global_batch, learning_rate, seed, steps_low, steps_high, status"),
        ("# nothing else\n\n", " is empty"),
        (HEADER, " has a header line and no rows"),
        ("global_batch,seed,steps,status\n16,0,1,reached\n", " has no column learning_rate, steps_low, steps_high"),
        ("status," + HEADER + "missed,16,0.1,0,1,2,reached\n", " has the column status twice"),
        (HEADER + "16,0.1,0,95,100\n", ":2 has 5 values for 6 columns"),
        (HEADER + "16,0.1,0,95,100,reached,\n", ":2 has 7 values for 6 columns"),
        (HEADER + "# why\n16,0.1,0,-5,100,reached\n", ":3: steps_low '-5' must be a whole number, at least 0"),
        (HEADER + "16,0.1,0,95.5,100,reached\n", ":2: steps_low '95.5' must be a whole number"),
        (HEADER + "0,0.1,0,95,100,reached\n", ":2: global_batch '0' must be a whole number, at least 1"),
        (HEADER + "16,0,0,95,100,reached\n", ":2: learning_rate '0' must be above 0"),
        (HEADER + "16,fast,0,95,100,reached\n", ":2: learning_rate 'fast' is not a number"),
        (HEADER + "16,nan,0,95,100,reached\n", ":2: learning_rate 'nan' is not a finite number"),
        (HEADER + "16,1e999,0,95,100,reached\n", ":2: learning_rate '1e999' is not a finite number"),
        (HEADER + "16,0.1,,95,100,reached\n", ":2: seed '' is not a number"),
        (HEADER + "16,0.1,0,100,100,reached\n", ":2: steps_low 100 must be below steps_high 100"),
        (HEADER + "16,0.1,0,95,100,done\n", ":2: status 'done' must be one of reached, missed, diverged"),
        (HEADER + "16,0.1,0,95,,reached\n", ":2: reached, but no steps_high"),
        (HEADER + "16,0.1,0,95,100,missed\n", ":2: missed, but steps_high is 100: leave it empty"),
        (
            HEADER + "16,0.1,0,95,100,reached\n# a comment\n16,0.10,0,90,95,reached\n",
            ":4 has the same global_batch, learning_rate, seed as line 2",
        ),
        (HEADER + '16,0.1,0,95,100,"reached\n', " is not a CSV table: "),
        (HEADER + "16,0.1,0,95,100,\0\n", " is not a text file: give a CSV table"),
    ],
)
def test_what_is_wrong_in_a_table_is_told_in_one_line(file: Path, text: str, told: str) -> None:
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        read(file)
    assert re.match(f"{re.escape(str(file))}{told}", str(caught.value))
    assert "\n" not in str(caught.value)


def test_what_is_no_text_file_is_told_in_one_line(tmp_path: Path, file: Path) -> None:
    file.write_bytes(b"\x89PNG\r\n\x1a\n\xff")
    with pytest.raises(DataError, match=r"trials\.csv is not a text file: .*CSV table"):
        read(file)
    with pytest.raises(DataError, match=r"none\.csv can't be read: No such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"can't be read: Is a directory$"):
        read(tmp_path)
