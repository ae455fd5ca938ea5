"""harness cache: what lies on the disk, and what is removed."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data.files import cache
from tests.conftest import Result

Call = Callable[..., Result]
PROGRAM = (
    "import sys; from harness.config.data import DataSection; from harness.data.files.load import load\n"
    "images = load(DataSection(source='folder:' + sys.argv[1]), print); print('loaded', flush=True); sys.stdin.read()"
)


@pytest.fixture(autouse=True)
def cache_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def in_use(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has decoded ten images, and goes on until its input ends."""
    for number in range(10):
        path = tmp_path / "images" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((10, 10), number, np.uint8)).save(path)
    command: list[str | Path] = [sys.executable, "-c", PROGRAM, tmp_path / "images"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "loaded\n"
    yield process
    process.kill()
    process.communicate()


def test_lists_and_clears_but_never_what_is_in_use(
    call: Call, in_use: subprocess.Popen[str], cache_root: Path, tmp_path: Path
) -> None:
    (entry,) = json.loads(call("cache", "--json").stdout)
    assert entry["source"] == f"folder:{tmp_path / 'images'}"
    assert entry["rows"] == 10
    assert entry["bytes"] >= 1000
    assert entry["is_complete"]
    assert entry["in_use"]
    for arguments in ([], [entry["name"]]):
        cleared = call("cache", "clear", *arguments)
        assert cleared.exit_code == 0
        assert f"kept {entry['name']}" in cleared.stdout
    assert (cache_root / entry["name"] / "images.npy").exists()

    in_use.communicate()  # which ends it
    (entry,) = json.loads(call("cache", "--json").stdout)
    assert not entry["in_use"]
    line = call("cache").stdout.splitlines()[-1]
    for told in (entry["name"], entry["source"], "10"):
        assert told in line
    assert "removed 0" in call("cache", "clear", "--older-than", "1").stdout
    two_days_ago = time.time() - 2 * 86400
    os.utime(cache_root / entry["name"] / "used", (two_days_ago, two_days_ago))
    assert "removed 1" in call("cache", "clear", "--older-than", "1").stdout
    assert os.listdir(cache_root) == ["locks"]
    assert "no decoded images" in call("cache").stdout


def test_one_that_is_not_there_is_refused(call: Call) -> None:
    refused = call("cache", "clear", "nothing")
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1
    assert "nothing is not in the cache" in refused.stderr


@pytest.fixture
def unused(in_use: subprocess.Popen[str], cache_root: Path) -> Path:
    """An entry that no process uses any more."""
    in_use.communicate()
    (used,) = cache_root.glob("*/used")
    return used.parent


def test_what_a_killed_clear_has_left_is_no_obstacle_and_goes(call: Call, unused: Path, cache_root: Path) -> None:
    for left in (f"{unused.name}.removed", "other.removed-1"):
        (cache_root / left).mkdir()
        (cache_root / left / "used").touch()
    assert len(json.loads(call("cache", "--json").stdout)) == 1
    cleared = call("cache", "clear")
    assert (cleared.exit_code, cleared.stderr) == (0, "")
    assert cleared.stdout.startswith("removed 1,")
    assert os.listdir(cache_root) == ["locks"]


def test_one_that_another_clear_removes_meanwhile_is_removed(unused: Path) -> None:
    (unused / "used").unlink()
    assert cache.remove(unused.name)


def test_only_a_lock_means_that_it_is_in_use(call: Call, unused: Path) -> None:
    """It is opened for writing, without which NFS gives no lock; so what can't be is told, in one line."""
    (unused / "used").unlink()
    (unused / "used").mkdir()
    for arguments in (["cache"], ["cache", "clear"]):
        failed = call(*arguments)
        assert failed.exit_code != 0
        (line,) = failed.stderr.splitlines()
        assert str(unused / "used") in line
        assert "HARNESS_CACHE" in line


def test_what_was_found_in_many_images_is_listed_and_cleared(call: Call, cache_root: Path) -> None:
    (cache_root / "scans").mkdir(parents=True)
    (cache_root / "scans" / "a.npz").write_bytes(bytes(3_000_000))
    looked_through = r"\b1 data set .*looked through.*\b3 MB"
    assert re.search(looked_through, call("cache").stdout)
    assert "looked through" not in call("cache", "clear", "--older-than", "1").stdout
    assert re.search(f"removed .*{looked_through}", call("cache", "clear").stdout)
    assert not any((cache_root / "scans").iterdir())
