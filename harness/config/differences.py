"""Which flat keys of two configs differ, and how they are written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Difference:
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
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {in_yaml(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(in_yaml, value))}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_changes(found: Sequence[Difference]) -> str:
    """`seed (0 → 1), train.length (5 epochs → 10 epochs)`."""
    return ", ".join(f"{each.key} ({in_yaml(each.a)} → {in_yaml(each.b)})" for each in found)
