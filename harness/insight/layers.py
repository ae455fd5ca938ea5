"""The convolutional layers of a functional model, and what they say before their nonlinearity."""

from typing import Any

import keras
import tensorflow as tf

from harness.errors import UserError

_ACTIVATIONS = (
    keras.layers.Activation,
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ReLU,
)


def convolutions(model: keras.Model) -> list[keras.layers.Conv2D]:
    """The two-dimensional convolutional layers, from the pixels upwards.

    Raises:
        UserError: there is none.
    """
    layers = _convolutions(model)
    if not layers:
        raise UserError("the model has no Conv2D layer")
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
        raise UserError(
            f"the model takes images of any size, {shape}: harness.models.logits.pixels_to_logits fixes one"
        )
    return shape


def features(model: keras.Model, layer: keras.layers.Conv2D) -> keras.layers.Layer:
    """The layer that ends what a convolutional one begins: itself, or where it has no activation the activation layer
    that follows, with batch normalization between them or without."""
    last = layer
    while last.activation is keras.activations.linear if last is layer else not isinstance(last, _ACTIVATIONS):
        following = _following(model, last)
        if len(following) != 1 or not isinstance(following[0], (keras.layers.BatchNormalization, *_ACTIVATIONS)):
            return layer
        last = following[0]
    return last


def _following(model: keras.Model, layer: keras.layers.Layer) -> list[keras.Operation]:
    told = model if hasattr(model, "operations") else keras.Model(model.inputs, model.outputs)  # for a Sequential
    return [
        operation
        for operation in told.operations
        if not isinstance(operation, keras.layers.InputLayer)
        and any(tensor is layer.output for tensor in keras.tree.flatten(operation.input))
    ]


def before_activation(model: keras.Model, layer: keras.layers.Conv2D) -> Any:
    """What a convolutional layer says before its activation, symbolically: (n, height, width, filters).

    In float32. Where the activation is the layer's own it is convolved once more, beside the layer, from its weights,
    so that it follows them; where it is a layer of its own, this is what that layer is given.
    """
    last = features(model, layer)
    return _BeforeActivation(layer)(layer.input) if last is layer else keras.ops.cast(last.input, "float32")


class _BeforeActivation(keras.layers.Layer):  # type: ignore[misc]
    def __init__(self, convolution: keras.layers.Conv2D) -> None:
        super().__init__(dtype=convolution.dtype_policy, name=f"{convolution.name}_before_activation")
        self._convolution = convolution

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        maps = self._convolution.convolution_op(inputs, self._convolution.kernel)
        if self._convolution.use_bias:
            maps = maps + self._convolution.bias
        return tf.cast(maps, tf.float32)
