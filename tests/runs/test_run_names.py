import os
from pathlib import Path

import pytest

from harness.errors import RunError
from harness.runs.run_names import find


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """runs/mnist-1, runs/mnist-12, and the newer runs/other-3; a folder that is no run; and a run outside."""
    for age, name in enumerate(("outside", "runs/other-3", "runs/mnist-12", "runs/mnist-1")):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for file in ("summary.json", "config.yaml"):
            (folder / file).touch()
            os.utime(folder / file, (2e9 - age, 2e9 - age))
    (tmp_path / "runs" / "old").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("latest", "runs/other-3"),
        ("runs/latest", "runs/other-3"),
        ("oth", "runs/other-3"),
        ("o", "runs/other-3"),
        ("mnist-1", "runs/mnist-1"),  # though another begins so
        ("mnist-12", "runs/mnist-12"),
        ("runs/mnist-12", "runs/mnist-12"),
        ("outside", "outside"),
        ("outside/.", "outside"),
    ],
)
def test_is_found(name: str, path: str) -> None:
    assert find(name) == Path(path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mnist", r"the beginning of 2 runs in runs: mnist-1, mnist-12"),
        ("runs/old", "is not a run directory: it has no config.yaml"),
        ("nowhere", "there is no run nowhere"),
        ("nowhere/latest", "there is no run nowhere/latest"),
        ("", "is not a run directory"),
    ],
)
def test_is_not_found(name: str, words: str) -> None:
    with pytest.raises(RunError, match=words):
        find(name)


def test_an_absolute_path_that_is_gone_is_no_beginning_of_another(runs: Path) -> None:
    assert find(runs / "mnist-12") == runs / "mnist-12"
    with pytest.raises(RunError, match="there is no run"):
        find(runs.parent / "gone" / "mnist")
