"""A YAML file, or a shipped config's name, and `--set` assignments → a checked Config; every mistake is one line."""

import difflib
import os
import re
from collections.abc import Hashable, Iterable
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from harness.config.config import Config
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
    path = find(config)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{config} can't be read: {error.strerror}") from None
    return _checked(kind, parse(text, str(config)), assignments, str(config))


def resolve(tree: dict[str, Any], assignments: Iterable[str] = (), source: str = "config") -> Config:
    """Check a config given as nested dicts, after applying `key=value` assignments. Raises ConfigError."""
    return _checked(Config, tree, assignments, source)


def _checked(kind: type[Kind], tree: dict[str, Any], assignments: Iterable[str], source: str) -> Kind:
    for assignment in assignments:
        _assign(tree, assignment)
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_in_one_line(error, kind)}") from None


def dump(config: Config) -> str:
    """The config as YAML text that `load` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def shipped() -> list[str]:
    """The names of the configs that come with the package."""
    folder = resources.files("harness.configs")
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def keys() -> list[str]:
    """Every `section.key` that a config may have, whatever its optimizer."""
    return [key for name in Config.model_fields for key in [f"{name}.{k}" for k in _keys([name], Config)] or [name]]


def find(config: str | Path) -> Path:
    """The path of a config file, or of the shipped config of that bare name."""
    path = Path(config)
    if os.path.isfile(path):  # unlike Path.is_file, it has an answer for a name that is too long
        return path
    if str(config) in shipped():
        return Path(str(resources.files("harness.configs") / f"{config}.yaml"))
    if os.path.isdir(path):
        raise ConfigError(f"{config} is a folder: name a YAML file in it")
    raise ConfigError(f"{config}: no such config file in {os.getcwd()}; shipped configs: {', '.join(shipped())}")


def parse(text: bytes, source: str) -> dict[str, Any]:
    """YAML text → nested dicts. Raises ConfigError, with the line, where it is no YAML or no mapping."""
    try:
        tree = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{source}{place}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError):  # ValueError: PyYAML's own, for a date or a number that is none
        raise ConfigError(f"{source}: not a YAML text file") from None
    except RecursionError:
        raise ConfigError(f"{source}: nested too deeply") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{source}: expected 'key: value' lines, found {_described(tree)}")
    return tree


class _Loader(yaml.SafeLoader):
    """YAML with `1e-3` as a number, and without a key twice in a mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        nodes = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        keys = [self.construct_object(key, deep=True) for key in nodes]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                mark = nodes[index].start_mark
                raise yaml.MarkedYAMLError(problem=f"the key '{key}' stands twice", problem_mark=mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _assign(tree: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set {assignment}: write key=value, such as train.global_batch=256")
    try:
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"--set {_shortened(assignment)}: the value is not valid YAML") from None
    *sections, last = key.split(".")
    for depth, section in enumerate(sections, 1):
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {assignment}: {'.'.join(sections[:depth])} holds no keys")
    tree[last] = value


def _in_one_line(error: ValidationError, kind: type[Config]) -> str:
    problems = error.errors(include_url=False)
    first = problems[0]
    location = [str(part) for part in first["loc"]]
    if location[:1] == ["optimizer"] and len(location) > 2:
        del location[1]  # the tag of the union, which is no key of the file
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{'.'.join(location)}: {_problem(first, kind)}{more}".removeprefix(": ")


def _problem(error: Any, config: type[Config]) -> str:
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    location = [str(part) for part in error["loc"]]
    if kind == "missing":
        return "the key is missing"
    if kind == "extra_forbidden" and location == ["scale"]:
        return "that section makes it an experiment: harness scale run CONFIG"
    if kind == "extra_forbidden":
        keys = _keys(location[:-1], config)
        return f"unknown key{_did_you_mean(location[-1], keys) or '; known: ' + ', '.join(keys)}"
    if kind == "literal_error":
        names = re.findall(r"'([^']+)'", context["expected"])
        return f"{given!r} is not one of {', '.join(names)}{_did_you_mean(str(given), names)}"
    if kind == "union_tag_invalid":
        names = re.findall(r"'([^']+)'", context["expected_tags"])
        return f"name {context['tag']!r} is not one of {', '.join(names)}{_did_you_mean(context['tag'], names)}"
    if kind == "union_tag_not_found":
        names = [str(model.model_fields["name"].default) for model in _models(location, config)]
        return f"the key 'name' is missing: one of {', '.join(names)}"
    if kind in ("model_type", "model_attributes_type"):
        return f"expected a section with keys, got {_described(given)}"
    message = str(context["error"]) if kind == "value_error" else error["msg"].removeprefix("Input ")
    return message if isinstance(given, dict) else f"{message}, got {_described(given)}"


def _described(value: object) -> str:
    if value is None:
        return "nothing"
    return _shortened(repr(value))


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _keys(location: list[str], config: type[Config]) -> list[str]:
    """The keys allowed in the section at `location`."""
    return list(dict.fromkeys(name for model in _models(location, config) for name in model.model_fields))


def _models(location: list[str], config: type[Config]) -> list[type[BaseModel]]:
    """The models that the section at `location` may be; several where its name is still to choose one."""
    models: list[type[BaseModel]] = [config]
    for part in location:
        inner = [found for model in models for found in _sections(model.model_fields, part)]
        models = inner or [
            model for model in models if "name" in model.model_fields and model.model_fields["name"].default == part
        ]
    return models


def _sections(fields: dict[str, Any], part: str) -> list[type[BaseModel]]:
    if part not in fields:
        return []
    annotation = fields[part].annotation
    return [
        kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type) and issubclass(kind, BaseModel)
    ]


def _did_you_mean(given: str, names: list[str]) -> str:
    close = difflib.get_close_matches(given, names, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
