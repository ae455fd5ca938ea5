"""A YAML file, or a shipped config's name, and `--set` assignments → a checked Config; every mistake is one line."""

import copy
import os
import re
import shlex
from collections.abc import Hashable, Iterable
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from harness.config.config import Config
from harness.config.metrics import MetricSection
from harness.config.section import OWN, did_you_mean
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
    tree, assigned = parse(text, str(config)), list(assignments)
    written = copy.deepcopy(tree)
    try:
        return _checked(kind, tree, assigned)
    except ValidationError as error:
        mistake = _in_one_line(error, kind)
        raise ConfigError(_with_its_place(mistake, assigned, str(config), _mistake(kind, written))) from None


def resolve(tree: dict[str, Any], assignments: Iterable[str] = (), source: str = "config") -> Config:
    """Check a config given as nested dicts, after applying `key=value` assignments. Raises ConfigError."""
    try:
        return _checked(Config, tree, assignments)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_in_one_line(error, Config)}") from None


def _checked(kind: type[Kind], tree: dict[str, Any], assignments: Iterable[str]) -> Kind:
    assigned = [(assignment, *_parse_assignment(assignment)) for assignment in assignments]
    for _, key, value in assigned:
        _forget_keys_of_another_name(tree, key, value, kind)
    name = tree.get("name")
    for assignment, key, value in assigned:
        _assign(tree, assignment, key, value)
    if name != tree.get("name"):
        tree["based_on"] = tree.get("based_on") or name
    return kind.model_validate(tree)


def _with_its_place(mistake: str, assignments: list[str], source: str, of_source: str | None) -> str:
    """Where a mistake was made, and what it is: in an assignment, or where none made it in the source, whose mistake
    without assignments is `of_source`."""
    at = mistake.partition(": ")[0]
    keys = [assignment.partition("=")[0] for assignment in assignments]
    if any(_lies_in(at, key) for key in keys):
        return f"--set {mistake}"
    inside = [f"--set {key}" for key in keys if _lies_in(key, at)]
    if inside and of_source != mistake:
        return f"{' '.join(inside)}: {mistake}"
    return f"{source}: {mistake}"


def _lies_in(key: str, section: str) -> bool:
    return key == section or key.startswith((f"{section}.", f"{section}["))


def _mistake(kind: type[Config], tree: dict[str, Any]) -> str | None:
    try:
        kind.model_validate(tree)
    except ValidationError as error:
        return _in_one_line(error, kind)
    return None


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


def parse(text: bytes, source: str) -> dict[str, Any]:
    """YAML text → nested dicts. Raises ConfigError, with the line, where it is no YAML or no mapping."""
    try:
        tree = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}" if mark else ""
        problem = error.problem if isinstance(error, _Misread) else f"not valid YAML: {error.problem or error.context}"
        raise ConfigError(f"{source}{place}: {problem}") from None
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

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value = super().construct_yaml_int(node)
        if ":" in node.value or re.match(r"[-+]?0[\d_]", node.value):
            raise _Misread(node, value)
        return value

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        value = super().construct_yaml_float(node)
        if ":" in node.value:
            raise _Misread(node, value)
        return value


class _Misread(yaml.MarkedYAMLError):
    """YAML 1.1 takes `010` for octal and `12:30` for a number to the base 60, which nobody means here."""

    def __init__(self, node: yaml.ScalarNode, value: float) -> None:
        decimal = "" if ":" in node.value else f" or {int(node.value.replace('_', ''))}"
        meant = f"write {value}{decimal}, or '{node.value}' in quotes for text"
        problem = f"YAML reads {node.value} as the number {value}: {meant}"
        super().__init__(problem=problem, problem_mark=node.start_mark)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _parse_assignment(assignment: str) -> tuple[list[str], Any]:
    """`a.b=1` → ["a", "b"], 1."""
    key, equals, text = assignment.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set {assignment}: write key=value, such as train.global_batch=256")
    try:
        value = yaml.load(text, _Loader)
    except _Misread as error:
        raise ConfigError(f"--set {_shortened(assignment)}: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"--set {_shortened(assignment)}: the value is not valid YAML") from None
    return key.split("."), value


def _forget_keys_of_another_name(tree: dict[str, Any], key: list[str], value: Any, config: type[Config]) -> None:
    """Where `key` gives a section another name, and the name decides which keys it has, drop those of the old name:
    Adam's learning rate is not SGD's."""
    sections = _models(key[:-1], config)
    if key[-1] not in ("name", "file") or not (len(sections) > 1 or sections[0].model_config.get("extra") == "allow"):
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


def _in_one_line(error: ValidationError, kind: type[Config]) -> str:
    problems = error.errors(include_url=False)
    first = problems[0]
    location = [str(part) for part in first["loc"]]
    rest = len(problems) - 1
    depth = next((depth for section, depth in _TAGS.items() if location[: len(section)] == [*section]), len(location))
    del location[depth : depth + 1]
    is_of_wrong_type = first["type"].endswith(("_type", "literal_error")) and first["type"] != "model_type"
    if is_of_wrong_type and _is_one_of_several_types(first, kind):
        location.pop()
        several = [problem for problem in problems if problem["loc"][:-1] == first["loc"][:-1]]
        problem = f"must be {' or '.join(map(_expected, several))}, got {_described(first['input'])}"
        rest -= len(several) - 1
    else:
        problem = _problem(first, kind)
    more = f" (and {rest} more)" if rest else ""
    key = ".".join(location)
    if first["type"] != "invalid_key":
        key = re.sub(r"\.(\d+)(?![^.])", r"[\1]", key)  # a place in a list
    return f"{key}: {problem}{more}".removeprefix(": ")


_TAGS = {("optimizer",): 1, ("loss",): 1, ("metrics",): 2, ("callbacks",): 2, ("data", "augment"): 3}
"""Where pydantic puts which section of several it took one for, which is no key of the file."""


def _is_one_of_several_types(error: Any, kind: type[Config]) -> bool:
    """Whether pydantic tells this of one of the types that a key takes, and has put that type behind the key."""
    last = error["loc"][-1]
    return isinstance(last, str) and last not in _keys([str(part) for part in error["loc"][:-1]], kind)


def _expected(error: Any) -> str:
    if error["type"] == "literal_error":
        return str(error["ctx"]["expected"]).replace("'", "")
    return _WORDS[error["type"]].removeprefix("must be ")


def _problem(error: Any, config: type[Config]) -> str:
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    location = [str(part) for part in error["loc"]]
    if kind == "missing" and location == ["scale"]:
        return "the key is missing, which says what is varied: see docs/scaling.md, or run mnist_scaling_quick"
    if kind == "missing":
        return "the key is missing"
    if kind == "extra_forbidden" and location == ["scale"]:
        return "that section makes it an experiment: harness scale run CONFIG"
    if kind == "extra_forbidden":
        here, key = _keys(location[:-1], config), location[-1]
        if owners := _owners(location, config):
            section, name = ".".join(part for part in location[:-2] if not part.isdigit()), location[-2]
            return (
                f"unknown key for {name}; known: {', '.join(here)}; it goes with {section}.name={' or '.join(owners)}"
            )
        near = here if len(location) > 1 else [*here, *keys()]
        return f"unknown key{did_you_mean(key, near) or '; known: ' + ', '.join(here)}"
    if kind == "literal_error":
        names = re.findall(r"'([^']+)'", context["expected"]) or re.findall(r"\d+", context["expected"])
        return f"{given!r} is not one of {', '.join(names)}{did_you_mean(str(given), names)}"
    if kind == "union_tag_invalid":
        names = re.findall(r"'([^']+)'", context["expected_tags"])
        return f"name {context['tag']!r} is not one of {', '.join(names)}{did_you_mean(context['tag'], names)}"
    if kind == "union_tag_not_found" and isinstance(given, dict):
        names = [_name_of(model) for model in _models(location, config)]
        return f"the key 'name' is missing: one of {', '.join(names)}"
    if kind in ("model_type", "union_tag_not_found"):
        return f"expected a section with keys, got {_described(given)}"
    limits = {
        name: int(limit) if isinstance(limit, float) and limit.is_integer() else limit
        for name, limit in context.items()
    }
    message = str(context["error"]) if kind == "value_error" else _WORDS.get(kind, error["msg"]).format_map(limits)
    return message if isinstance(given, dict) else f"{message}, got {_described(given)}"


_WORDS = {
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list, such as [a, b]",
    "dict_type": "must hold keys and values, such as {{a: 1}}",
    "invalid_key": "a key must be text",
    "finite_number": "must be finite",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "string_too_short": "must hold {min_length} characters or more",
    "too_short": "must hold {min_length} or more",
}
"""What is wrong with a value, by pydantic's name for it."""


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
    if location[:1] == ["metrics"] and len(location) > 1:  # under a name of the user's
        models, location = _within(MetricSection), location[2:]
    for part in location:
        if part.isdigit():  # a place in a list
            continue
        inner = [found for model in models for found in _sections(model.model_fields, part)]
        models = inner or [model for model in models if "name" in model.model_fields and _name_of(model) == part]
    return models


def _name_of(section: type[BaseModel]) -> str:
    """What has to be written for `name` where that chooses the section."""
    choices = get_args(section.model_fields["name"].annotation)
    return str(choices[0]) if choices else OWN


def _sections(fields: dict[str, Any], part: str) -> list[type[BaseModel]]:
    if part not in fields:
        return []
    return _within(fields[part].annotation)


def _within(annotation: Any) -> list[type[BaseModel]]:
    """The models among the alternatives of a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is dict:
        return []
    return [found for inner in get_args(annotation) for found in _within(inner)]


def _owners(location: list[str], config: type[Config]) -> list[str]:
    """The names with which the section, whose own name doesn't go with the last key of `location`, would have it."""
    named = {_name_of(model): model for model in _models(location[:-2], config) if "name" in model.model_fields}
    if len(named) < 2 or location[-2] not in named:
        return []
    return [name for name, model in named.items() if location[-1] in model.model_fields and name != OWN]
