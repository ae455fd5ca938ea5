"""Where the configs of two runs, and what they ran on, differ."""

from collections.abc import Mapping
from typing import Any

from harness.config import Config
from harness.config.differences import Difference, differences, in_yaml

_NAMES = ("name", "based_on")
_ENVIRONMENT = ("device", "replicas", "workers", "git", "data_sha256")


def config_differences(a: Config, b: Config) -> list[Difference]:
    """The flat keys, `section.key`, whose values differ, in the config's order; a run's name does not count."""
    return [each for each in differences(a.flat(), b.flat()) if each.key not in _NAMES]


def environment_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    """Where versions, device, replicas, workers, commit or data of two summaries differ; what one lacks is left out."""
    known = [_environment(a), _environment(b)]
    return differences(*({key: value for key, value in of.items() if all(key in one for one in known)} for of in known))


def in_words(value: Any) -> str:
    """A config's value as one would write it; a dash for None."""
    return "–" if value is None else in_yaml(value)


def _environment(summary: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: summary.get(key) for key in _ENVIRONMENT}
    flat |= {f"versions.{name}": version for name, version in (summary.get("versions") or {}).items()}
    return {key: value for key, value in flat.items() if value is not None}
