"""The scripts that measure the input: they run, and their tables are whole. No speed is tested."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parents[2] / "scripts"


def table(script: str) -> str:
    """What the script prints about next to nothing."""
    ended = subprocess.run([sys.executable, SCRIPTS / script, "--quick"], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_cache_of_image_files_is_measured_against_memory() -> None:
    told = table("bench_input.py")
    for name in ("folder:", ".npz of them"):
        (line,) = (line for line in told.splitlines() if line.startswith(name))
        rows, first, again, *speeds = map(float, re.findall(r"\d[\d.]*", line.removeprefix(name).replace(",", "")))
        assert rows == 32, "four fifths of 40"
        assert first >= 0 <= again
        assert min(speeds[:4]) > 0
    assert re.search(r"the warm cache against memory: \d+\.\d\d$", told.strip())


def test_decoding_is_measured_against_two_others() -> None:
    told = table("bench_decode.py")
    for method in ("ours", "tf.io", "Pillow"):
        assert re.search(rf"\b{re.escape(method)} +[\d,]+ +[\d,]+", told), told
