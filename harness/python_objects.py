"""What `harness.train` is handed in Python → what a config says instead: import paths, where there are any."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import ConfigError
from harness.imports import is_importable, path_of

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
        callbacks: Sequence[Any] = (),
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
        if metrics is not None:
            self.sections["metrics"] = {
                name: self._section(given, f"metrics.{name}") for name, given in metrics.items()
            }
        if optimizer is not None:
            self.sections["optimizer"] = self._optimizer(optimizer)
        if callbacks:
            self.sections["callbacks"] = [
                self._section(given, f"callbacks.{number}") for number, given in enumerate(callbacks)
            ]

    def _section(self, given: Any, key: str) -> Sections:
        if isinstance(given, Mapping):
            name = given.get("name")
            return {**given, "name": self._path(name, key)} if callable(name) else dict(given)
        return {"name": given if isinstance(given, str) else self._path(given, key)}

    def _path(self, value: Any, key: str) -> str:
        """Its import path; else what stands for it in this process alone."""
        path = path_of(value)
        if not is_importable(value):
            if isinstance(value, functools.partial) or not hasattr(value, "__qualname__") or "<" in path:
                path = f"__main__:<{key}>"
            self.objects[path] = value
        return path

    def _model(self, model: Any) -> Sections:
        if isinstance(model, Path) or (isinstance(model, str) and model.endswith(".keras")):
            return {"file": str(model)}
        if not isinstance(model, str | Mapping) and (not callable(model) or hasattr(model, "layers")):
            raise ConfigError(
                "model: give the function (image_shape, classes) → keras.Model that builds it, or the path of its "
                f".keras file, not {type(model).__name__}"
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
        if not hasattr(optimizer, "get_config") or isinstance(optimizer, type):
            section = self._section(optimizer, "optimizer")
        else:
            given, default = optimizer.get_config(), type(optimizer)().get_config()
            changed = {key: value for key, value in given.items() if value != default[key] and key != "name"}
            section = {
                "learning_rate": given["learning_rate"],
                **changed,
                "name": self._path(type(optimizer), "optimizer"),
            }
        name = section.get("name")
        if isinstance(name, str) and name.startswith("keras.src.optimizers."):  # where Keras has them is its own affair
            section["name"] = f"keras.optimizers:{name.partition(':')[2]}"
        return section
