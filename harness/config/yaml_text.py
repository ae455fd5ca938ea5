"""YAML text → plain values, with what people mean and YAML 1.1 does not."""

import re
from collections.abc import Hashable
from typing import Any

import yaml

from harness.errors import ConfigError


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
        raise ConfigError(f"{source}: expected 'key: value' lines, found {described(tree)}")
    return tree


class _Loader(yaml.SafeLoader):
    """YAML with `1e-3` as a number, and without a key twice in a mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        nodes = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        keys = [self.construct_object(key, deep=True) for key in nodes]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                mark = nodes[index].start_mark
                raise yaml.MarkedYAMLError(problem=f"the key '{key}' appears twice", problem_mark=mark)
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


def parse_assignment(assignment: str) -> tuple[list[str], Any]:
    """`a.b=1` → ["a", "b"], 1. Raises ConfigError where that isn't its form, or the value is no YAML."""
    key, equals, text = assignment.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set {assignment}: write key=value, such as train.global_batch=256")
    if "[" in key:
        raise ConfigError(f"--set {assignment}: a list is set as a whole: write {key[: key.index('[')]}=[…, …]")
    try:
        value = yaml.load(text, _Loader)
    except _Misread as error:
        raise ConfigError(f"--set {shortened(assignment)}: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"--set {shortened(assignment)}: the value is not valid YAML") from None
    return key.split("."), value


def described(value: object) -> str:
    """A value of the user's for a message, cut off where it is long."""
    if value is None:
        return "nothing"
    return shortened(repr(value))


def shortened(text: str) -> str:
    """At most 60 characters of a text."""
    return text if len(text) <= 60 else text[:57] + "..."
