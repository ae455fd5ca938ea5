"""The `model:` section."""

import os
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from harness.config.section import OpenSection, did_you_mean

NAMES = ("cnn", "cnn_two_pools")
"""The models that come with the package."""


def _known(name: str) -> str:
    if ":" not in name and name not in NAMES:
        raise ValueError(
            f"must be one of {', '.join(NAMES)}, or an import path such as my_package.models:resnet"
            f"{did_you_mean(name, NAMES)}"
        )
    return name


class ModelSection(OpenSection):
    name: Annotated[str, AfterValidator(_known)] | None = "cnn"
    """`cnn` has 60,554 parameters on MNIST; `cnn_two_pools`, without the last pooling, 93,322. Or the import path of a
    function (image_shape, classes, **arguments) → keras.Model, from pixels to logits, with its arguments as further
    keys: `{name: my_package.models:resnet, depth: 18}`; `keras.applications:NAME` is one."""
    file: Annotated[str, AfterValidator(os.path.abspath)] | None = None
    """Instead of a name, a `.keras` file: go on from that model, without its last softmax."""
    freeze: list[str] = Field(default=[])
    """Layers that keep their weights, by their names or patterns such as `conv_*`."""

    @model_validator(mode="before")
    @classmethod
    def _file_for_name(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("file") is not None:
            return {"name": None} | given
        return given

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.name is None) == (self.file is None):
            raise ValueError("give either name or file")
        if self.arguments and not self.is_own:
            key = next(iter(self.arguments))
            known = list(type(self).model_fields)
            raise ValueError(f"unknown key {key!r}{did_you_mean(key, known) or '; known: ' + ', '.join(known)}")
        return self

    @property
    def is_own(self) -> bool:
        """Whether its name is an import path."""
        return self.name is not None and ":" in self.name

    def __str__(self) -> str:
        return str(self.name if self.file is None else os.path.basename(self.file))
