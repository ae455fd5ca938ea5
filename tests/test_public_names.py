"""`import harness`: each name is there, says how it is used, and help(harness) begins with a page about them."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from harness.config import Config
from harness.data.random import Random
from harness.errors import ConfigError, DataError, RunError, UserError


def examples(text: str) -> Iterator[ast.Module]:
    """The indented blocks of a docstring that are programs which use the package."""
    for block in re.findall(r"(?:^ {4}.*\n|^\n)+", inspect.cleandoc(text) + "\n", re.MULTILINE):
        try:
            program = ast.parse(textwrap.dedent(block))
        except SyntaxError:
            continue
        if any(isinstance(node, ast.Name) and node.id == "harness" for node in ast.walk(program)):
            yield program


def attributes(program: ast.Module) -> set[str]:
    """The X of each harness.X."""
    nodes = (node for node in ast.walk(program) if isinstance(node, ast.Attribute))
    return {node.attr for node in nodes if isinstance(node.value, ast.Name) and node.value.id == "harness"}


@pytest.mark.parametrize("name", harness.__all__)
def test_each_name_is_there_and_shows_a_use(name: str) -> None:
    found = list(examples(getattr(harness, name).__doc__))
    assert found
    for program in found:
        assert attributes(program) <= set(harness.__all__)


def test_the_page_shows_a_use_of_each_command_and_names_the_rest() -> None:
    used = set().union(*map(attributes, examples(harness.__doc__)))
    assert {"train", "evaluate", "visualize", "compare"} <= used
    assert all(re.search(rf"\b{name}\b", harness.__doc__) for name in harness.__all__)


def test_no_other_name_is_there() -> None:
    assert set(harness.__all__) <= set(dir(harness))
    with pytest.raises(AttributeError, match="no attribute 'tran'"):
        _ = harness.tran


@pytest.mark.parametrize("given", [None, 3, ["mnist"]])
def test_what_names_neither_a_config_nor_a_run_is_refused_in_a_line(given: Any) -> None:
    with pytest.raises(ConfigError, match=f"not {type(given).__name__}"):
        harness.train(given)
    for command in (harness.evaluate, harness.visualize, harness.RunDir.open):
        with pytest.raises(RunError, match=f"not {type(given).__name__}"):
            command(given)


def test_what_compare_is_handed_is_checked_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        harness.compare(tmp_path / "nowhere", "latest", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_augmentations_are_those_that_a_config_names_and_can_be_called() -> None:
    sections = Config.model_json_schema()["$defs"].values()
    named = {section["properties"].get("name", {}).get("const") for section in sections}
    assert set(harness.augment.__all__) - {"Augmentation", "augmented", "check", "check_pixels"} <= named
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 1)
    flipped = harness.augment.flip(images, Random(0, 2, np.arange(2)), probability=1)
    np.testing.assert_array_equal(flipped, images[:, :, ::-1])


@pytest.mark.slow
def test_compare_takes_runs_names_and_checkpoints(completed_run: tuple[Path, object], tmp_path: Path) -> None:
    run = harness.RunDir.open(completed_run[0])
    first = min(run.checkpoints_dir.glob("*.safetensors"), key=lambda path: len(path.name))
    (tmp_path / "other.txt").touch()
    with pytest.raises(UserError, match="other files"):
        harness.compare(run, first, tmp_path)
    with pytest.raises(DataError):
        harness.compare(run, first, rows=[10_000])
    with pytest.raises(RunError, match="the same"):
        harness.compare(run, str(run.path))
    found = harness.compare(run, first, tmp_path / "out", rows=[17])
    assert (tmp_path / "out" / "compare.html").exists()
    assert found.outcomes.images == 500
    assert str(found).startswith("A ")
