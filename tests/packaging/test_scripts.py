"""scripts/harness makes its environment, keeps it, and repairs it."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def call(script: Path, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(script), *arguments]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone in a folder with a space in its name, whose package is small: no dependencies, one command."""
    path = tmp_path / "a checkout"
    subprocess.run(["git", "clone", "--quiet", ROOT, path], check=True)
    shutil.copytree(ROOT / "scripts", path / "scripts", dirs_exist_ok=True)
    (path / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "harness"\nversion = "0"\noptional-dependencies = {test = [], cuda = []}\n'
        '[project.scripts]\nharness = "small:main"\n[tool.setuptools]\npy-modules = ["small"]\n'
    )
    (path / "small.py").write_text("import os, sys\ndef main():\n    print(os.getcwd(), *sys.argv[1:])\n")
    return path


@pytest.mark.slow
def test_first_call_installs_and_says_so_and_the_second_starts_at_once(checkout: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(checkout / "scripts" / "harness")
    first = call(link, "--flag", "a value", cwd=tmp_path)
    assert first.stdout == f"{tmp_path} --flag a value\n", first.stderr
    assert "installing harness" in first.stderr
    second = call(checkout / "scripts" / "harness", cwd=tmp_path)
    assert (second.stdout, second.stderr) == (f"{tmp_path}\n", "")


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
    assert not (checkout / ".venv" / "installed").exists()
    (checkout / ".venv" / "bin" / "python").unlink()
    repaired = call(script, cwd=tmp_path)
    assert (repaired.returncode, repaired.stdout) == (0, f"{tmp_path}\n"), repaired.stderr


@pytest.mark.slow
def test_a_failed_installation_is_one_line_and_the_next_call_tries_again(checkout: Path, tmp_path: Path) -> None:
    script = checkout / "scripts" / "harness"
    whole = (checkout / "pyproject.toml").read_text()
    (checkout / "pyproject.toml").write_text(whole.replace('"setuptools.build_meta"', '"no_such_backend"'))
    failed = call(script, cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("error: the installation failed")
    (checkout / "pyproject.toml").write_text(whole)
    assert call(script, cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_two_first_calls_at_once_both_succeed(checkout: Path, tmp_path: Path) -> None:
    script = checkout / "scripts" / "harness"
    both = [
        subprocess.Popen([script], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ended = [process.communicate(timeout=600) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert sum("installing harness" in stderr for _, stderr in ended) == 1


def test_without_a_suitable_python_it_says_what_is_needed(checkout: Path, tmp_path: Path) -> None:
    ended = call(checkout / "scripts" / "harness", cwd=tmp_path, PYTHON="no-such-python")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: Python 3.11 or newer is needed")
    assert not (checkout / ".venv").exists()
