"""What `harness.train` is handed in Python → what a config says instead: import paths, where there are any."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import ConfigError
from harness.imports import is_importable, path_of

Sections = dict[str, Any]
"""`section` or `section.key` → value, as `--set` takes them."""


def as_sections(model: Any = None, data: Any = None, callbacks: Sequence[Any] = ()) -> tuple[Sections, dict[str, Any]]:
    """The config's sections that name these objects, and those of them that other processes couldn't find, by name.

    Args:
        model: a function (image_shape, classes, **arguments) → keras.Model, its import path, a `.keras` file's path, or
            the section of a config, in which `name` may be that function.
        data: arrays as `{"x_train": …, "y_train": …, "x_test": …, "y_test": …}` or `((x, y), (x, y))`, a function
            that returns such, or what `data.source` takes.
        callbacks: callables, or entries of the config's `callbacks`.

    Raises ConfigError where one of them is something else.
    """
    objects: dict[str, Any] = {}

    def named(value: Any, key: str) -> str:
        path = path_of(value)
        if not is_importable(value):
            path = f"__main__:<{key}>" if isinstance(value, functools.partial) or ":<" in path else path
            objects[path] = value
        return path

    sections: Sections = {}
    if model is not None:
        sections["model"] = _model_section(model, named)
    if data is not None:
        sections["data.source"] = _data_source(data, named, objects)
    if callbacks:
        sections["callbacks"] = [_callback(given, number, objects) for number, given in enumerate(callbacks)]
    return sections, objects


def _callback(given: Any, number: int, objects: dict[str, Any]) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    if is_importable(given):
        return {"name": path_of(given)}
    name = f"__main__:<callback {number}>"
    objects[name] = given
    return {"name": name}


def _model_section(model: Any, named: Callable[[Any, str], str]) -> dict[str, Any]:
    if isinstance(model, Mapping):
        name = model.get("name")
        return {**model, "name": named(name, "model")} if callable(name) else dict(model)
    if isinstance(model, Path) or (isinstance(model, str) and model.endswith(".keras")):
        return {"file": str(model)}
    if isinstance(model, str):
        return {"name": model}
    if not callable(model) or hasattr(model, "layers"):
        raise ConfigError(
            "model: give the function (image_shape, classes) → keras.Model that builds it, or the path of its .keras "
            f"file, not {type(model).__name__}"
        )
    return {"name": named(model, "model")}


def _data_source(data: Any, named: Callable[[Any, str], str], objects: dict[str, Any]) -> str:
    if isinstance(data, str | Path):
        return str(data)
    if callable(data):
        return named(data, "data")
    name = "__main__:<arrays>"
    objects[name] = data
    return name
