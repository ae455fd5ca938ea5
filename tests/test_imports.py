"""Import paths of the user's own code."""

import sys
from pathlib import Path

import pytest

from harness.errors import ConfigError, UserError
from harness.imports import check_elsewhere, check_loadable, handed, import_modules, is_importable, load_object, path_of


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with modules in it."""
    (tmp_path / "own_models_of_test.py").write_text("class Nets:\n    depth = 3\n\ndef net():\n    return 1\n")
    (tmp_path / "incomplete_models_of_test.py").write_text("import nowhere_of_test\n")
    (tmp_path / "broken_models_of_test.py").write_text("raise RuntimeError('no luck\\ntoday')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [entry for entry in __import__("sys").path if entry])
    return tmp_path


def test_finds_what_lies_in_the_working_directory(here: Path) -> None:
    assert load_object("own_models_of_test:net", "model.name")() == 1
    assert load_object("own_models_of_test:Nets.depth", "model.name") == 3


def test_finds_what_is_installed() -> None:
    assert load_object("pathlib:Path", "model.name") is Path


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("nowhere_of_test:net", "no module nowhere_of_test"),
        ("own_models_of_test:nothing", "has no nothing"),
        ("own_models_of_test:Nets.width", "has no Nets.width"),
        ("broken_models_of_test:net", "RuntimeError: no luck"),
        ("incomplete_models_of_test:net", "incomplete_models_of_test can't be imported: ModuleNotFoundError"),
        ("own_models_of_test", "package.module:name"),
        (":net", "package.module:name"),
        ("__main__:net_of_a_notebook", "a module of its own"),
        ("own_models_of_test:<lambda>", "a module of its own"),
    ],
)
def test_says_in_one_line_what_is_not_there(here: Path, path: str, told: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_object(path, "model.name")
    assert str(refusal.value).startswith("model.name: ")
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("nowhere_of_test.models:net", "no module nowhere_of_test"),
        (":net", "package.module:name"),
        ("__main__:Path", "a module of its own"),
        ("own_models_of_test:<lambda>", "a module of its own"),
    ],
)
def test_says_what_other_processes_would_not_find(here: Path, path: str, told: str) -> None:
    check_elsewhere({"loss.name": "own_models_of_test:net", "model.name": "broken_models_of_test:net"})
    assert "broken_models_of_test" not in sys.modules
    with pytest.raises(ConfigError) as refusal:
        check_elsewhere({"loss.name": "own_models_of_test:net", "model.name": path})
    assert str(refusal.value).startswith("model.name: ")
    assert told in str(refusal.value)


@pytest.mark.parametrize(
    ("path", "told"), [("own_models_of_test:nothing", "has no nothing"), ("broken_models_of_test:net", "no luck")]
)
def test_says_what_another_process_does_not_find(here: Path, path: str, told: str) -> None:
    check_loadable({})
    check_loadable({"loss.name": "own_models_of_test:net"})
    with pytest.raises(ConfigError, match=f"^model.name: .*{told}"):
        check_loadable({"loss.name": "own_models_of_test:net", "model.name": path})
    assert "broken_models_of_test" not in sys.modules


def test_a_file_of_the_working_directory_does_not_stand_in_for_a_library(here: Path) -> None:
    (here / "colorsys.py").write_text("rgb_to_hls = 'mine'")
    (here / "random.py").write_text("raise RuntimeError('mine')")
    assert load_object("colorsys:rgb_to_hls", "model.name") != "mine"
    check_loadable({"model.name": "own_models_of_test:net"})


def test_what_is_handed_over_is_known_by_its_name_for_as_long() -> None:
    def net() -> int:
        return 2

    assert not is_importable(net)
    assert is_importable(Path)
    with handed({path_of(net): net}):
        assert load_object(path_of(net), "model.name") is net
    with pytest.raises(ConfigError):
        load_object(path_of(net), "model.name")


def test_modules_are_imported_for_what_they_register(here: Path) -> None:
    import_modules(["own_models_of_test"])
    with pytest.raises(UserError, match="nowhere_of_test"):
        import_modules(["nowhere_of_test"])
