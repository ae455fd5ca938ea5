"""The keys that a config may have, section by section."""

from typing import Any, get_args, get_origin

from pydantic import BaseModel

from harness.config.config import Config
from harness.config.metrics import MetricSection
from harness.config.section import OWN


def keys() -> list[str]:
    """Every `section.key` that a config may have, whatever its optimizer."""
    return [key for name in Config.model_fields for key in [f"{name}.{k}" for k in keys_at([name], Config)] or [name]]


def keys_at(location: list[str], config: type[Config]) -> list[str]:
    """The keys allowed in the section at `location`."""
    return list(dict.fromkeys(name for model in models_at(location, config) for name in model.model_fields))


def models_at(location: list[str], config: type[Config]) -> list[type[BaseModel]]:
    """The models that the section at `location` may be; several where its name is still to choose one."""
    models: list[type[BaseModel]] = [config]
    if location[:1] == ["metrics"] and len(location) > 1:  # under a name of the user's
        models, location = _within(MetricSection), location[2:]
    for part in location:
        if part.isdigit():  # a place in a list
            continue
        inner = [found for model in models for found in _sections(model.model_fields, part)]
        models = inner or [model for model in models if "name" in model.model_fields and name_of(model) == part]
    return models


def name_of(section: type[BaseModel]) -> str:
    """What has to be written for `name` where that chooses the section."""
    choices = get_args(section.model_fields["name"].annotation)
    return str(choices[0]) if choices else OWN


def names_with_key(location: list[str], config: type[Config]) -> list[str]:
    """The names with which the section, whose own name doesn't go with the last key of `location`, would have it."""
    named = {name_of(model): model for model in models_at(location[:-2], config) if "name" in model.model_fields}
    if len(named) < 2 or location[-2] not in named:
        return []
    return [name for name, model in named.items() if location[-1] in model.model_fields and name != OWN]


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
