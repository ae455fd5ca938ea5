"""The source tree as git sees it."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def source_files() -> list[Path]:
    """Every file that is committed or could be, relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [Path(line) for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


@pytest.fixture(scope="session")
def source_tree(source_files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of these files, without what builds and tests leave behind."""
    copy = tmp_path_factory.mktemp("source") / "harness"
    for file in source_files:
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, copy / file)
    return copy
