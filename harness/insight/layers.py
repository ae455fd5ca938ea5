"""The convolutional layers of a functional model, and what they say before their nonlinearity."""

from typing import Any

import keras
import tensorflow as tf

from harness.errors import UserError


def convolutions(model: keras.Model) -> list[keras.layers.Conv2D]:
    """The two-dimensional convolutional layers, from the pixels upwards.

    Raises:
        UserError: there is none.
    """
    layers = _convolutions(model)
    if not layers:
        raise UserError("the model has no Conv2D layer, so there are no filters to show")
    return layers


def has_convolutions(model: keras.Model) -> bool:
    return bool(_convolutions(model))


def _convolutions(model: keras.Model) -> list[keras.layers.Conv2D]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


def convolution(model: keras.Model, name: str | None = None) -> keras.layers.Conv2D:
    """The convolutional layer of that name; the last one where it is None.

    Raises:
        UserError: there is none.
    """
    layers = {layer.name: layer for layer in convolutions(model)}
    if name is None:
        return list(layers.values())[-1]
    if name not in layers:
        raise UserError(f"the model has no convolutional layer '{name}': it has {', '.join(layers)}")
    return layers[name]


def centre_unit(maps: tf.Tensor) -> tf.Tensor:
    """From feature maps (n, height, width, filters) the units in the middle: (n, filters)."""
    return maps[:, maps.shape[1] // 2, maps.shape[2] // 2, :]


def image_shape(model: keras.Model) -> tuple[int, int, int]:
    """Height, width and channels of the images that a model takes.

    Raises:
        UserError: it takes images of any size.
    """
    shape: tuple[int, int, int] = model.inputs[0].shape[1:]
    if None in shape:
        raise UserError(f"the model takes images of any size, {shape}: fix one with harness.models.logits")
    return shape


def before_activation(layer: keras.layers.Conv2D) -> Any:
    """What a convolutional layer says before its activation, symbolically: (n, height, width, filters).

    In float32, from the layer's own weights, so that it follows them; convolved once more, beside the layer.
    """
    return _BeforeActivation(layer)(layer.input)


class _BeforeActivation(keras.layers.Layer):  # type: ignore[misc]
    def __init__(self, convolution: keras.layers.Conv2D) -> None:
        super().__init__(dtype=convolution.dtype_policy, name=f"{convolution.name}_before_activation")
        self._convolution = convolution

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        maps = self._convolution.convolution_op(inputs, self._convolution.kernel)
        if self._convolution.use_bias:
            maps = maps + self._convolution.bias
        return tf.cast(maps, tf.float32)
