"""The tables of throughput and noise scale: what is written is read back, and what is wrong is one line."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import DataError
from harness.scaling.tables.measurements import (
    NoiseWindow,
    Throughput,
    read_noise,
    read_throughput,
    write_noise,
    write_throughput,
)

THROUGHPUT = "global_batch,replicas,cores,images_per_second,low,high,device\n"
NOISE = (
    "global_batch,learning_rate,seed,first_step,last_step,b_simple,low,high,"
    "b_preconditioned,preconditioned_low,preconditioned_high\n"
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    speeds = [
        Throughput(64, 1, 2, 7100.123456789, 7000.0, 7200.5, 'CPU "x", 2 cores'),
        Throughput(64, 2, 2, 1.0, 1.0, 1.0, ""),
    ]
    write_throughput(tmp_path / "throughput.csv", speeds)
    assert read_throughput(tmp_path / "throughput.csv") == speeds
    windows = [
        NoiseWindow(64, 0.1, 0, 1, 50, None, None, None, None, None, None),
        NoiseWindow(64, 0.1, 0, 51, 100, 123.4, 99.9, 150.0, 60.0, 50.0, 70.0),
        NoiseWindow(64, 0.1, 1, 51, 51, 123.4, 99.9, 150.0, None, None, None),
    ]
    write_noise(tmp_path / "noise_scale.csv", windows)
    assert read_noise(tmp_path / "noise_scale.csv") == windows


@pytest.mark.parametrize(
    ("read", "text", "told"),
    [
        (read_throughput, "", " is empty: .*global_batch, replicas, cores"),
        (read_throughput, "global_batch,replicas\n1,1\n", " has no column cores, images_per_second, low, high, device"),
        (read_throughput, THROUGHPUT + "64,0,2,7,6,8,x\n", ":2: replicas '0' must be a whole number, at least 1"),
        (read_throughput, THROUGHPUT + "64,1,2,-7,6,8,x\n", ":2: images_per_second '-7' must be above 0"),
        (read_throughput, THROUGHPUT + "64,1,2,7,8,9,x\n", ":2: low 8.0, images_per_second 7.0 and high 9.0"),
        (
            read_throughput,
            THROUGHPUT + "64,1,2,7,6,8,x\n64,1,2,7,6,8,y\n",
            ":3 has the same global_batch, replicas as line 2",
        ),
        (read_noise, "x\n", " has no column global_batch"),
        (read_noise, NOISE + "64,0.1,0,0,9,,,,,,\n", ":2: first_step '0' must be a whole number, at least 1"),
        (read_noise, NOISE + "64,0.1,0,10,9,,,,,,\n", ":2: last_step 9 must be at least first_step 10"),
        (read_noise, NOISE + "64,0.1,0,1,9,-5,1,2,,,\n", ":2: b_simple '-5' must be at least 0"),
        (read_noise, NOISE + "64,0.1,0,1,9,5,,,,,\n", ":2: b_simple 5.0 has no interval: .*low and high"),
        (read_noise, NOISE + "64,0.1,0,1,9,5,4,6,5,6,7\n", ":2: preconditioned_low 6.0, b_preconditioned 5.0"),
        (read_noise, NOISE + "64,0.1,0,1,9,,,,,,\n64,0.1,0,1,8,,,,,,\n", ":3 has the same global_batch, learning_rate"),
    ],
)
def test_what_is_wrong_in_a_table_is_told_in_one_line(
    tmp_path: Path, read: Callable[[Path], object], text: str, told: str
) -> None:
    file = tmp_path / "table.csv"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        read(file)
    assert re.match(f"{re.escape(str(file))}{told}", str(caught.value))
    assert "\n" not in str(caught.value)
