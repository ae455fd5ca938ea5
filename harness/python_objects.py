"""What `harness.train` is handed in Python → what a config says instead: import paths, where there are any."""

import copy
import functools
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from harness.config import Config, read, resolve
from harness.config.data import FILES, OF_FILES, DataSection, split_source
from harness.errors import ConfigError
from harness.imports import handed, is_importable, path_of

_OF_KERAS = re.compile(r"^keras\.src\.(optimizers|applications)\.[\w.]*:")

Sections = dict[str, Any]
"""`section` or `section.key` → value, as `--set` takes them."""


class Named:
    """The sections of a config that name objects, and those of the objects that other processes couldn't find."""

    def __init__(
        self,
        model: Any = None,
        data: Any = None,
        loss: Any = None,
        metrics: Mapping[str, Any] | None = None,
        optimizer: Any = None,
        callbacks: Sequence[Any] | None = None,
        augment: Sequence[Any] | None = None,
    ) -> None:
        """Each is a callable, its import path, or a section of the config, in which `name` may be a callable.

        Args:
            model: also the path of a `.keras` file.
            data: also arrays.
            optimizer: also an instance of one of Keras's.

        Raises ConfigError where one of them is something else.
        """
        self.objects: dict[str, Any] = {}
        """By the path that stands for each in the sections."""
        self.sections: Sections = {}
        if model is not None:
            self.sections["model"] = self._model(model)
        if data is not None:
            self.sections["data.source"] = self._data(data)
        if loss is not None:
            self.sections["loss"] = self._section(loss, "loss")
        if metrics is not None and not isinstance(metrics, Mapping):
            raise ConfigError(
                "metrics: give functions (logits, labels), or sections such as {'name': 'top_k', 'k': 5}, by name in a "
                f"dict, not in {type(metrics).__name__}"
            )
        if metrics is not None:
            self.sections["metrics"] = {
                name: self._section(given, f"metrics.{name}") for name, given in metrics.items()
            }
        if optimizer is not None:
            self.sections["optimizer"] = self._optimizer(optimizer)
        if callbacks is not None:
            self.sections["callbacks"] = self._list(callbacks, "callbacks")
        if augment is not None:
            self.sections["data.augment"] = self._list(augment, "augment")

    def _section(self, given: Any, key: str) -> Sections:
        if isinstance(given, Mapping):
            name = given.get("name")
            return {**given, "name": self._path(name, key)} if callable(name) else dict(given)
        return {"name": given if isinstance(given, str) else self._path(given, key)}

    def _list(self, given: Any, key: str) -> list[Sections]:
        if not isinstance(given, list | tuple):
            raise ConfigError(f"{key}: give a list of them, not {type(given).__name__}")
        return [self._section(each, f"{key}.{number}") for number, each in enumerate(given)]

    def _path(self, value: Any, key: str) -> str:
        """Its import path; else what stands for it in this process alone."""
        path = _OF_KERAS.sub(r"keras.\1:", path_of(value))  # where Keras has its own is its own affair
        if not is_importable(value):
            is_bound = hasattr(value, "__self__")
            if isinstance(value, functools.partial) or is_bound or not hasattr(value, "__qualname__") or "<" in path:
                path = f"__main__:<{key}>"
            self.objects[path] = value
        return path

    def _model(self, model: Any) -> Sections:
        if isinstance(model, Path) or (isinstance(model, str) and model.endswith(".keras")):
            return {"file": str(model)}
        is_other = isinstance(model, type) or not callable(model) or hasattr(model, "layers")
        if not isinstance(model, str | Mapping) and is_other:
            raise ConfigError(
                "model: give the function (image_shape, classes) → keras.Model that builds it, or the path of its "
                f".keras file, not {'a class' if isinstance(model, type) else type(model).__name__}"
            )
        return self._section(model, "model")

    def _data(self, data: Any) -> str:
        if isinstance(data, str | Path):
            return str(data)
        if callable(data):
            return self._path(data, "data")
        name = "__main__:<arrays>"
        self.objects[name] = data
        return name

    def _optimizer(self, optimizer: Any) -> Sections:
        if isinstance(optimizer, type):
            name = self._path(optimizer, "optimizer")
            raise ConfigError(
                f"optimizer: give {{'name': {name!r}, 'learning_rate': …}}, or an instance, not the class"
            )
        if not hasattr(optimizer, "get_config"):
            section = self._section(optimizer, "optimizer")
        elif not type(optimizer).__module__.startswith("keras."):
            raise ConfigError(
                "optimizer: what an instance of a class of your own was made with can't be known: give the class, "
                f"{{'name': {type(optimizer).__name__}, 'learning_rate': …}}"
            )
        else:
            given, default = optimizer.get_config(), type(optimizer)().get_config()
            if not isinstance(given["learning_rate"], float):
                raise ConfigError("optimizer: its learning rate must be a number, which the config's schedule follows")
            changed = {key: value for key, value in given.items() if value != default[key] and key != "name"}
            section = {
                "learning_rate": given["learning_rate"],
                **changed,
                "name": self._path(type(optimizer), "optimizer"),
            }
        return section


def as_config(config: Config | Mapping[str, Any] | str | Path, changes: Mapping[str, Any]) -> Config:
    """A checked Config from whatever names one, with `section.key` → value in place of its own."""
    assignments = [f"{key}={json.dumps(value, default=_plain)}" for key, value in changes.items()]
    if isinstance(config, Config):
        return resolve(config.model_dump(mode="json"), assignments) if changes else config
    if isinstance(config, Mapping):
        return resolve(copy.deepcopy(dict(config)), assignments)
    if not isinstance(config, str | os.PathLike):
        raise ConfigError(
            f"config: give a file's path, a shipped config's name, a dict or a Config, not {type(config).__name__}"
        )
    return resolve(read(config), assignments, str(config))


@contextmanager
def with_data(config: Config, data: Any) -> Iterator[Config]:
    """The config of a run with `data`, as `harness.train` takes them, in place of its own, for as long as it is
    entered; the config as it is where they are None."""
    named = Named(data=data)
    changes, source = named.sections, named.sections.get("data.source")
    if source is not None and split_source(source)[0] not in FILES:  # the keys of files would be refused
        changes |= {f"data.{key}": DataSection.model_fields[key].default for key in OF_FILES}
    with handed(named.objects):
        yield as_config(config, changes)


def _plain(value: Any) -> Any:
    """A number of NumPy's, or a path, as JSON has it. Raises ConfigError for anything else."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise ConfigError(f"a change must be a number, text, true, false, null, list or dict, not {type(value).__name__}")
