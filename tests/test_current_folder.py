"""A file in the current folder that has the name of a module stays out of the processes that are started."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.gpu_check.speed import python_with
from harness.supervision.launch import HARNESS, PYTHON
from tests.conftest import Result


@pytest.fixture
def shadowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder, with files named as modules that are there and as one that is not."""
    for name in ("harness", "random", "click", "no_such_peer"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the current folder was run')\n")
    monkeypatch.chdir(tmp_path)


# What launch, scale, bench --against, gpu-check and chaos start.
@pytest.mark.parametrize("command", [[*HARNESS, "--version"], [*PYTHON, "-m", "harness.measuring.keras_fit", "--help"]])
@pytest.mark.usefixtures("shadowed")
def test_a_process_of_ours_imports_what_is_installed(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.usefixtures("shadowed")
def test_an_empty_entry_in_the_search_path_is_not_handed_on(
    call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f":{os.environ.get('PYTHONPATH', '')}:")
    command = [*HARNESS, "--version"]
    assert subprocess.run(command, capture_output=True).returncode, "the folder is in the way"
    assert call("--version").exit_code == 0
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.usefixtures("shadowed")
def test_a_framework_that_only_lies_in_the_current_folder_is_not_there() -> None:
    assert python_with("no_such_peer") is None
