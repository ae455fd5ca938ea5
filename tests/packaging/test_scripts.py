"""scripts/harness makes its environment, keeps it, and repairs it; scripts/test says what failed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pip
import pytest

from tests.processes import started

ROOT = Path(__file__).parents[2]
SMALL_PACKAGE = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "harness"
version = "0"
"""
BACKEND = """\
import os, zipfile

INFO = {
    "METADATA": "Metadata-Version: 2.1\\nName: harness\\nVersion: 0\\nProvides-Extra: test\\nProvides-Extra: cuda\\n",
    "WHEEL": "Wheel-Version: 1.0\\nGenerator: small\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    "entry_points.txt": "[console_scripts]\\nharness = small:main\\n",
    "RECORD": "",
}

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "harness-0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("small.pth", os.getcwd())
        for file, text in INFO.items():
            wheel.writestr("harness-0.dist-info/" + file, text)
    return name
"""
"""Instead of setuptools, which pip would install for each build."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The scripts in a folder with a space in its name, and a package that needs no other: it prints its arguments."""
    path = tmp_path / "a checkout"
    shutil.copytree(ROOT / "scripts", path / "scripts")
    shutil.copy(ROOT / "constraints.txt", path)
    (path / "pyproject.toml").write_text(SMALL_PACKAGE)
    (path / "backend.py").write_text(BACKEND)
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
def test_an_installation_is_repaired_made_once_kept_and_renewed(
    checkout: Path, tmp_path: Path, nvidia_smi: Callable[[int], None]
) -> None:
    """One after another, because each makes what the next begins with."""
    nvidia_smi(9)
    script, project = checkout / "scripts" / "harness", checkout / "pyproject.toml"
    installed, bin_pip = checkout / ".venv" / "installed", checkout / ".venv" / "bin" / "pip"

    # Killed in the middle.
    with started([script], cwd=tmp_path, start_new_session=True) as process:
        assert process.stderr is not None
        assert any("installing harness" in line for line in process.stderr)
        os.killpg(process.pid, signal.SIGKILL)
    bin_pip.unlink()

    # Repaired, but the installation fails.
    project.write_text(SMALL_PACKAGE.replace('"backend"', '"no_such_backend"'))
    failed = call(script)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("error: the installation failed")
    assert bin_pip.exists()

    # Tried again, by two at once: one makes it, and says so; the other waits.
    project.write_text(SMALL_PACKAGE)
    link = tmp_path / "bin" / "nested" / "link"
    link.parent.mkdir(parents=True)
    link.symlink_to(script)
    with started([link, "--flag", "a value"], cwd=tmp_path) as one, started([script], cwd=tmp_path) as other:
        both = [process.communicate(timeout=600) for process in (one, other)]
    assert [output for output, _ in both] == [f"{tmp_path} --flag a value\n", f"{tmp_path}\n"], both
    assert sum("installing harness and" in errors for _, errors in both) == 1
    assert installed.read_text().splitlines()[-1] == ""

    # Kept: the next call starts at once.
    again = call(script)
    assert (again.stdout, again.stderr) == (f"{tmp_path}\n", "")

    # A git pull brings something else, and there is a card by now, which needs the CUDA libraries.
    project.write_text(SMALL_PACKAGE + "# changed by a git pull\n")
    nvidia_smi(0)
    renewed = call(script)
    assert renewed.returncode == 0
    assert "installing harness with cuda and" in renewed.stderr
    assert "making" not in renewed.stderr
    assert installed.read_text().splitlines()[-1] == "cuda"


@pytest.mark.slow
def test_scripts_test_runs_every_check_and_names_those_that_failed_in_an_environment_made_by_hand(
    checkout: Path, nvidia_smi: Callable[[int], None], tmp_path: Path
) -> None:
    nvidia_smi(9)
    environment = checkout / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    shutil.copytree(Path(pip.__file__).parent, packages / "pip")
    mine = environment / "mine"
    mine.touch()
    # The small package's test extra is empty, so that each check's command is missing.
    ended = call(checkout / "scripts" / "test", PATH=f"{tmp_path / 'smi'}:/usr/bin:/bin")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "failed: lint format types imports tests"
    assert "making" not in ended.stderr
    assert mine.exists(), "it is used, and not deleted"
    harness = call(checkout / "scripts" / "harness")
    assert (harness.stdout, harness.stderr) == (f"{tmp_path}\n", ""), "what was installed for the tests is enough"


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
