"""The `model:` section."""

import os
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from harness.config.section import OpenSection, Section, Size, did_you_mean

NAMES = ("cnn", "cnn_two_pools")
"""The models that come with the package."""


def _known(name: str) -> str:
    if ":" not in name and name not in NAMES:
        raise ValueError(
            f"must be one of {', '.join(NAMES)}, or an import path such as my_package.models:resnet"
            f"{did_you_mean(name, NAMES)}"
        )
    return name


class NormalizeSection(Section):
    """How pixels are shifted and scaled, channel by channel: the last step of `model.input`."""

    mean: list[Annotated[float, Field(ge=0, le=1)]] = Field(default=[0.0], min_length=1)
    """Taken off each pixel, which is from 0 to 1: one number, or one a channel."""
    std: list[Annotated[float, Field(gt=0, le=1)]] = Field(default=[1.0], min_length=1)
    """What is left is divided by this: one number, or one a channel."""


class InputSection(Section):
    """What the model does to raw pixels before its network gets them, in this order; saved in `model.keras`."""

    color: Literal["grey", "rgb"] | None = None
    """`grey`: one channel, by the weights of ITU-R BT.601; `rgb`: three, of grey images three times the same."""
    size: Size | None = None
    """Height and width, or one number for both: smaller by averaging whole pixels first, then bilinear; the sides are
    stretched to them."""
    normalize: NormalizeSection | None = None
    """(pixel / 255 - mean) / std, for networks that don't scale pixels themselves: `{}` for 0 to 1, or
    `{mean: [0.5], std: [0.5]}` for -1 to 1."""


class ModelSection(OpenSection):
    """The model: one that ships, a function of the user's own, or a saved model that is trained further."""

    name: Annotated[str, AfterValidator(_known)] | None = "cnn"
    """`cnn` has 60,554 parameters on MNIST; `cnn_two_pools`, without the last pooling, 93,322. Or the import path of a
    function (image_shape, classes, **arguments) → keras.Model, from pixels to logits, with its arguments as further
    keys: `{name: my_package.models:resnet, depth: 18}`; `keras.applications:NAME` is one."""
    file: Annotated[str, AfterValidator(os.path.abspath)] | None = None
    """Instead of a name, a `.keras` file: continue from that model, without its last softmax."""
    freeze: list[str] = Field(default=[])
    """Layers that keep their weights, by their names or patterns such as `conv_*`."""
    input: InputSection = InputSection()

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
