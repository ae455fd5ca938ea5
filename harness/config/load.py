"""A YAML file, or a shipped config's name, and `--set` assignments → a checked Config; every mistake is one line."""

import copy
import os
import shlex
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from harness.config.config import Config
from harness.config.keys import models_at
from harness.config.mistakes import first_mistake
from harness.config.yaml_text import parse, parse_assignment
from harness.errors import ConfigError

Kind = TypeVar("Kind", bound=Config)


def load(config: str | Path, assignments: Iterable[str] = ()) -> Config:
    """Read the file `config` (or the shipped config of that bare name), apply `key=value` assignments, check.

    Raises ConfigError for a file that can't be read, is no YAML mapping, or holds a wrong key or value.
    """
    return load_as(Config, config, assignments)


def load_as(kind: type[Kind], config: str | Path, assignments: Iterable[str] = ()) -> Kind:
    """As `load`, for a config with further sections.

    Raises ConfigError for a file that can't be read, is no YAML mapping, or holds a wrong key or value.
    """
    return _checked(kind, read(config), assignments, str(config), f"{config} with --set")


def read(config: str | Path) -> dict[str, Any]:
    """The file `config`, or the shipped config of that bare name, as nested dicts that nobody has checked.

    Raises ConfigError for a file that can't be read, or is no YAML mapping.
    """
    path = find(config)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{config} can't be read: {error.strerror}") from None
    return parse(text, str(config))


def resolve(tree: dict[str, Any], assignments: Iterable[str] = (), source: str = "config") -> Config:
    """Check a config given as nested dicts, after applying `key=value` assignments. Raises ConfigError."""
    return _checked(Config, tree, assignments, source, source)


def _checked(kind: type[Kind], tree: dict[str, Any], assignments: Iterable[str], source: str, changed: str) -> Kind:
    """Raises ConfigError, which names the source where the mistake is in that already, else the changed one."""
    assigned = [(assignment, *parse_assignment(assignment)) for assignment in assignments]
    as_written = copy.deepcopy(tree) if assigned else tree
    for _, key, value in assigned:
        _forget_keys_of_another_name(tree, key, value, kind)
    name = tree.get("name")
    for assignment, key, value in assigned:
        _assign(tree, assignment, key, value)
    if name != tree.get("name"):
        tree["based_on"] = tree.get("based_on") or name
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        mistake = _mistakes(error)[0]
        whose = source if not assigned or mistake in _mistakes_in(as_written, kind) else changed
        raise ConfigError(f"{whose}: {first_mistake(error, kind)}") from None


def _mistakes(error: ValidationError) -> list[tuple[object, ...]]:
    """Where, what and of which value, except for a section, whose other keys don't matter."""
    return [
        (each["loc"], each["msg"], None if isinstance(each["input"], dict) else each["input"])
        for each in error.errors(include_url=False)
    ]


def _mistakes_in(tree: dict[str, Any], kind: type[Config]) -> list[tuple[object, ...]]:
    try:
        kind.model_validate(tree)
    except ValidationError as error:
        return _mistakes(error)
    return []


def dump(config: Config) -> str:
    """The config as YAML text that `load` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def shipped() -> list[str]:
    """The names of the configs that come with the package."""
    folder = resources.files("harness.configs")
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def find(config: str | Path) -> Path:
    """The path of a config file, or of the shipped config of that bare name. Raises ConfigError where there is none."""
    if config == "":
        raise ConfigError("the name of the config is empty: name a YAML file, or a shipped one, such as mnist")
    path = Path(config)
    if os.path.isfile(path):  # unlike Path.is_file, it has an answer for a name that is too long
        if (kind := _DATA.get(path.suffix.lower())) is not None:
            raise _data_for_a_config(config, kind)
        return path
    if str(config) in shipped():
        return Path(str(resources.files("harness.configs") / f"{config}.yaml"))
    if os.path.isdir(path):
        if any(path.glob("*/")) and not any(path.glob("*.yaml")):
            raise _data_for_a_config(config, "folder:")
        raise ConfigError(f"{config} is a folder: name a YAML file in it")
    where = "" if path.is_absolute() else f" in {os.getcwd()}"
    raise ConfigError(f"{config}: no such config file{where}; shipped configs: {', '.join(shipped())}")


_DATA = {".csv": "csv:", ".tfrecord": "tfrecord:", ".tfrecords": "tfrecord:", ".npz": ""}
"""By the ending of a file of data, what stands before its path in `data.source`."""


def _data_for_a_config(path: str | Path, kind: str) -> ConfigError:
    what, config = ("a folder", "imagefolder") if kind == "folder:" else ("a file", "imagefolder" if kind else "mnist")
    setting = shlex.quote(f"data.source={kind}{path}")
    return ConfigError(f"{path} is {what} of data: name a config and let it read that: {config} --set {setting}")


def _forget_keys_of_another_name(tree: dict[str, Any], key: list[str], value: Any, config: type[Config]) -> None:
    """Where `key` gives a section another name, and the name decides which keys it has, drop those of the old name:
    Adam's learning rate is not SGD's."""
    sections = models_at(key[:-1], config)
    if (
        not sections
        or key[-1] not in ("name", "file")
        or not (len(sections) > 1 or sections[0].model_config.get("extra") == "allow")
    ):
        return
    section: Any = tree
    for part in key[:-1]:
        section = section.get(part) if isinstance(section, dict) else None
    unnamed = None if key[-1] == "file" else value  # what a section without this key is taken for
    if len(key) == 2 and len(sections) > 1:
        unnamed = getattr(config.model_fields[key[0]].default, "name", value)
    if isinstance(section, dict) and section.get(key[-1], unnamed) != value:
        section.clear()


def _assign(tree: dict[str, Any], assignment: str, key: list[str], value: Any) -> None:
    *sections, last = key
    for depth, section in enumerate(sections, 1):
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {assignment}: {'.'.join(sections[:depth])} holds no keys")
    tree[last] = value
