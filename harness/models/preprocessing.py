"""The `model.input:` section → layers from raw pixels to what a network takes.

Keras's own layers without a weight, so that they are alike on all replicas, compile with XLA, and are in the exported
model as they are.
"""

from typing import Any

import keras
from keras import layers

from harness.config.model import InputSection
from harness.errors import ConfigError
from harness.models.flatten import Renaming, cloned, flattened

_CHANNELS = {"grey": 1, "rgb": 3}


def shape_after(section: InputSection, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Height, width and channels of what the network takes.

    Args:
        section: of the config.
        image_shape: height, width, channels of the data's images.

    Raises:
        ConfigError: the section can't be had of such images.
    """
    *sides, channels = image_shape
    if section.color:
        if channels not in _CHANNELS.values():
            raise ConfigError(
                f"model.input.color: {section.color}, but the images have {channels} channels: it takes 1 or 3"
            )
        channels = _CHANNELS[section.color]
    height, width = section.size or sides
    for key in ("mean", "std") if section.normalize else ():
        values = getattr(section.normalize, key)
        if len(values) not in (1, channels):
            raise ConfigError(
                f"model.input.normalize.{key}: {len(values)} numbers, but the network gets {channels} channels: "
                f"give 1 or {channels}"
            )
    return height, width, channels


def with_input(
    section: InputSection, network: keras.Model, image_shape: tuple[int, int, int], dtype: str
) -> keras.Model:
    """A model from raw pixels, (n, height, width, channels) from 0 to 255, to what a network says of them.

    Args:
        section: of the config; where it says nothing, the network itself is given back.
        network: takes images of `shape_after(section, image_shape)`.
        image_shape: height, width, channels of the data's images.
        dtype: of the values on the way to the network.

    Raises:
        ConfigError: pixels would be scaled twice.
    """
    if section == InputSection():
        return network
    pixels = keras.Input(image_shape, dtype=dtype, name="pixels")
    if section.normalize and (scaling := _own_scaling(network)):
        raise ConfigError(
            f"model.input.normalize: the network {network.name} scales its pixels itself, by its layer {scaling}: "
            "leave one of them out"
        )
    preprocessed = _preprocessed(section, pixels, dtype)
    names = [operation.name for operation in keras.Model(pixels, preprocessed).operations]

    def call(layer: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = keras.tree.map_structure(
            lambda value: preprocessed if value is pixels else value, (args, kwargs)
        )
        return layer(*args, **kwargs)

    copy = cloned(flattened(network), input_tensors=[pixels], clone_function=Renaming(names), call_function=call)
    return keras.Model(copy.inputs[0], copy.outputs[0], name=network.name)


def _preprocessed(section: InputSection, x: Any, dtype: str) -> Any:
    if section.color == "grey" and x.shape[3] == 3:
        x = keras.ops.image.rgb_to_grayscale(x)
    if section.size:
        x = _resized(x, section.size[0], section.size[1], dtype)
    if section.color == "rgb" and x.shape[3] == 1:
        x = layers.Concatenate(dtype=dtype, name="input_rgb")([x, x, x])
    if section.normalize:
        means, stds = (_each(values, x.shape[3]) for values in (section.normalize.mean, section.normalize.std))
        scale = [1 / (255 * std) for std in stds]
        offset = [-mean / std for mean, std in zip(means, stds, strict=True)]
        x = layers.Rescaling(scale, offset, dtype=dtype, name="input_normalize")(x)
    return x


def _resized(x: Any, height: int, width: int, dtype: str) -> Any:
    """Bilinear looks at four pixels alone. So a side twice as long as wanted, or longer, is averaged first: XLA can't
    compile Keras's `antialias`."""
    factors = max(x.shape[1] // height, 1), max(x.shape[2] // width, 1)
    if factors != (1, 1):
        x = layers.AveragePooling2D(factors, padding="same", dtype=dtype, name="input_shrink")(x)
    if x.shape[1:3] != (height, width):
        x = layers.Resizing(height, width, dtype=dtype, name="input_resize")(x)
    return x


def _each(values: list[float], channels: int) -> list[float]:
    return values if len(values) == channels else values * channels


def _own_scaling(network: keras.Model) -> str | None:
    """The name of the layer by which a network scales the pixels that it is given."""
    flat = flattened(network)
    for operation in flat.operations:
        scales = isinstance(operation, (layers.Rescaling, layers.Normalization))
        if scales and any(tensor is flat.inputs[0] for tensor in keras.tree.flatten(operation.input)):
            return str(operation.name)
    return None
