"""The configs that come with the package."""

from pathlib import Path

import pytest

from harness.config import load
from harness.config.load import shipped

FOLDER = Path(__file__).parents[2] / "configs"
FILES = sorted(FOLDER.glob("*.yaml"))


def test_those_in_the_folder_are_those_shipped():
    assert [path.stem for path in FILES] == shipped()
    assert "mnist" in shipped()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_loads_and_begins_its_runs_with_its_own_name(path):
    assert load(path).name == path.stem
    assert load(path.stem) == load(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_opens_with_its_command_the_expected_time_and_the_expected_score(path):
    lines = path.read_text().splitlines()
    first_code = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    header = lines[:first_code]
    assert f"harness train {path.stem}" in header[0] or f"harness train configs/{path.name}" in header[0]
    assert "time" in " ".join(header)
    assert "accuracy" in " ".join(header)
