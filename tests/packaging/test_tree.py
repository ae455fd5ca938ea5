"""What holds for the source tree itself: scripts without warnings, constraints that name versions only."""

import re
import shutil
import subprocess
from importlib import metadata, resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
CONSTRAINTS = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]


def test_shell_scripts_have_no_shellcheck_warnings() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck: apt install shellcheck")
    scripts = ["scripts/harness", "scripts/slurm.sbatch", "scripts/test", ".ci/run"]
    command = ["shellcheck", "--external-sources", *scripts]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_constraints_are_exact_versions_without_addresses_or_hashes() -> None:
    assert CONSTRAINTS
    assert [line for line in CONSTRAINTS if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []


def test_constraints_name_everything_that_harness_and_its_tests_ask_for() -> None:
    constrained = {canonicalize_name(line.split("==")[0]) for line in CONSTRAINTS}
    requirements = map(Requirement, metadata.requires("mirrored-harness") or [])
    asked_for = {canonicalize_name(requirement.name) for requirement in requirements}
    assert asked_for <= constrained


def test_constraints_satisfy_what_harness_asks_for() -> None:
    versions = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in CONSTRAINTS}
    requirements = list(map(Requirement, metadata.requires("mirrored-harness") or []))
    assert [r for r in requirements if versions[canonicalize_name(r.name)] not in r.specifier] == []


# Where people and services keep their files; a checkout elsewhere is known by its own path.
OF_A_MACHINE = re.compile(rb"(?<![\w.}-])/(?!home/harness\b)(home|root|Users|work|mnt|scratch|media|srv)/[\w.]")
"""But for the folder of the container image."""


def machine_paths(text: bytes) -> list[bytes]:
    """The lines with such a path."""
    return [line for line in text.splitlines() if OF_A_MACHINE.search(line) or str(ROOT).encode() in line]


def test_no_file_names_a_path_of_the_machine_it_was_written_on(source_files: list[Path]) -> None:
    texts = {file: (ROOT / file).read_bytes() for file in source_files if file.suffix not in (".npz", ".png")}
    assert {file: lines for file, text in texts.items() if (lines := machine_paths(text))} == {}


@pytest.mark.parametrize("path", ["home/me/x.py", "root/.cache", "Users/me", "scratch/run"])
def test_a_path_of_another_machine_would_be_seen(path: str) -> None:
    assert machine_paths(f'open("/{path}")\nopen("data/{path}")\n'.encode()) == [f'open("/{path}")'.encode()]


def test_the_configs_of_the_checkout_are_those_that_the_package_finds() -> None:
    assert Path(str(resources.files("harness.configs"))).resolve() == ROOT / "configs"
