"""The configs that come with the package."""

from pathlib import Path

import pytest

from harness.config import Config, load
from harness.config.load import load_as, shipped
from harness.config.scale import Experiment
from harness.errors import ConfigError

FOLDER = Path(__file__).parents[2] / "configs"
FILES = sorted(FOLDER.glob("*.yaml"))


def is_experiment(path: Path) -> bool:
    return "\nscale:" in path.read_text()


def kind(path: Path) -> type[Config]:
    return Experiment if is_experiment(path) else Config


def test_those_in_the_folder_are_those_shipped():
    assert [path.stem for path in FILES] == shipped()
    assert "mnist" in shipped()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_loads_and_begins_its_runs_with_its_own_name(path):
    assert load_as(kind(path), path).name == path.stem
    assert load_as(kind(path), path.stem) == load_as(kind(path), path)


@pytest.mark.parametrize("path", [path for path in FILES if is_experiment(path)], ids=lambda path: path.stem)
def test_an_experiment_is_not_taken_for_a_run(path):
    with pytest.raises(ConfigError, match="harness scale run"):
        load(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_opens_with_its_command_the_expected_time_and_the_expected_score(path):
    lines = path.read_text().splitlines()
    first_code = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    header = lines[:first_code]
    command = "harness scale run" if is_experiment(path) else "harness train"
    assert f"{command} {path.stem}" in header[0] or f"{command} configs/{path.name}" in header[0]
    assert "time" in " ".join(header)
    assert "accuracy" in " ".join(header)
