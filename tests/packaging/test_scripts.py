"""scripts/harness makes its environment, keeps it, and repairs it; scripts/test says what failed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL_PACKAGE = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "harness"
version = "0"
optional-dependencies = {test = [], cuda = []}
[project.scripts]
harness = "small:main"
[tool.setuptools]
py-modules = ["small"]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The scripts in a folder with a space in its name, and a package that needs no other: it prints its arguments."""
    path = tmp_path / "a checkout"
    shutil.copytree(ROOT / "scripts", path / "scripts")
    shutil.copy(ROOT / "constraints.txt", path)
    (path / "pyproject.toml").write_text(SMALL_PACKAGE)
    (path / "small.py").write_text("import os, sys\ndef main():\n    print(os.getcwd(), *sys.argv[1:])\n")
    return path


def call(script: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call `script` from a folder that is not the checkout."""
    command: list[str | Path] = [script, *arguments]
    env = {**os.environ, **environment}
    cwd = script.parents[2]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes the nvidia-smi that the scripts find end with that code: 9 where it finds no driver."""
    program = tmp_path / "smi" / "nvidia-smi"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)

    def ends_with(code: int) -> None:
        program.write_text(f"#!/bin/sh\nexit {code}\n")
        program.chmod(0o755)

    return ends_with


@pytest.mark.slow
def test_first_call_installs_and_says_so_and_the_second_starts_at_once(
    checkout: Path, tmp_path: Path, nvidia_smi: Callable[[int], None]
) -> None:
    """The third installs what a git pull brought, and the CUDA libraries, since there is a card by then."""
    nvidia_smi(9)
    installed = checkout / ".venv" / "installed"
    link = tmp_path / "bin" / "nested" / "link"
    link.parent.mkdir(parents=True)
    link.symlink_to(checkout / "scripts" / "harness")
    first = call(link, "--flag", "a value")
    assert first.stdout == f"{tmp_path} --flag a value\n", first.stderr
    assert "installing harness and" in first.stderr
    assert installed.read_text().splitlines()[-1] == ""
    second = call(checkout / "scripts" / "harness")
    assert (second.stdout, second.stderr) == (f"{tmp_path}\n", "")

    (checkout / "pyproject.toml").write_text(SMALL_PACKAGE + "# changed by a git pull\n")
    nvidia_smi(0)
    third = call(checkout / "scripts" / "harness")
    assert third.returncode == 0
    assert "installing harness with cuda and" in third.stderr
    assert "making" not in third.stderr
    assert installed.read_text().splitlines()[-1] == "cuda"


@pytest.mark.slow
def test_an_installation_killed_in_the_middle_is_repaired(checkout: Path, tmp_path: Path) -> None:
    script = checkout / "scripts" / "harness"
    process = subprocess.Popen([script], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "installing harness" in line:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (checkout / ".venv" / "bin" / "pip").unlink()
    repaired = call(script)
    assert (repaired.returncode, repaired.stdout) == (0, f"{tmp_path}\n"), repaired.stderr
    assert (checkout / ".venv" / "bin" / "pip").exists()


@pytest.mark.slow
def test_a_failed_installation_is_one_line_and_the_next_call_tries_again(checkout: Path) -> None:
    script = checkout / "scripts" / "harness"
    (checkout / "pyproject.toml").write_text(SMALL_PACKAGE.replace("setuptools.build_meta", "no_such_backend"))
    failed = call(script)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("error: the installation failed")
    (checkout / "pyproject.toml").write_text(SMALL_PACKAGE)
    assert call(script).returncode == 0


@pytest.mark.slow
def test_two_first_calls_at_once_both_succeed(checkout: Path, tmp_path: Path) -> None:
    command = [checkout / "scripts" / "harness"]
    both = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ended = [process.communicate(timeout=600) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert sum("installing harness" in stderr for _, stderr in ended) == 1


@pytest.mark.slow
def test_an_environment_made_by_hand_is_used_and_not_deleted(checkout: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", checkout / ".venv"], check=True)
    mine = checkout / ".venv" / "mine"
    mine.touch()
    ended = call(checkout / "scripts" / "harness")
    assert (ended.returncode, ended.stdout) == (0, f"{tmp_path}\n"), ended.stderr
    assert mine.exists()


@pytest.mark.slow
def test_scripts_test_runs_every_check_and_names_those_that_failed(checkout: Path) -> None:
    # The small package's test extra is empty, so that each check's command is missing.
    ended = call(checkout / "scripts" / "test", PATH="/usr/bin:/bin", PYTHON=sys.executable)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "failed: lint format types imports tests"


def test_without_a_suitable_python_it_says_what_is_needed(checkout: Path) -> None:
    ended = call(checkout / "scripts" / "harness", PYTHON="no such python")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: Python 3.11, 3.12 or 3.13 is needed")
    assert ended.stderr.count("\n") == 1
    assert not (checkout / ".venv").exists()


def test_a_python_without_venv_is_told_with_the_package_to_install(checkout: Path) -> None:
    python = checkout / "python"
    python.write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    ended = call(checkout / "scripts" / "harness", PYTHON=str(python))
    assert ended.returncode == 1
    assert ended.stderr.endswith(f"apt install python3.{sys.version_info.minor}-venv\n")
    assert ended.stderr.count("\n") == 1
    assert not (checkout / ".venv").exists()
