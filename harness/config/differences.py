"""Which flat keys of two configs differ, and how they are written."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True)
class Difference:
    """A key whose values in A and B differ."""

    key: str
    a: Any
    b: Any
    """JSON values; None for a key that is not set, or that a side does not have."""


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    """Of flat `section.key` → value, such as `Config.flat()`: what differs, in the order of `a`, then of `b`."""
    keys = dict.fromkeys([*a, *b])
    return [Difference(key, a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)]


def in_yaml(value: Any) -> str:
    """A JSON value in one line, as one would write it in a config: `[{name: flip}, {name: crop, padding: 4}]`."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf)
    return text.removesuffix("\n").removesuffix("\n...")  # which ends a document that is a scalar


def as_changes(found: Sequence[Difference]) -> str:
    """`seed (0 → 1), train.length (5 epochs → 10 epochs)`."""
    return ", ".join(f"{each.key} ({in_yaml(each.a)} → {in_yaml(each.b)})" for each in found)
