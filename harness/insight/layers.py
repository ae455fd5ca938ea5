"""The layers of a functional model that can be explained: its convolutions and what they say before their
nonlinearity, and whatever else gives feature maps."""

from difflib import get_close_matches
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
_POOLED = (
    keras.layers.AveragePooling2D, keras.layers.Dropout, keras.layers.MaxPooling2D, keras.layers.SpatialDropout2D,
)  # fmt: skip
"""What may stand between the last feature maps and the vector made of them."""
_MOST_NAMED = 8
"""Layers that a message lists; of more, those with the nearest names."""


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
    """Whether the model has a Conv2D layer of its own, not inside another model."""
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


def operations(model: keras.Model) -> list[keras.Operation]:
    """Its layers and the operations between them (`x + y`, keras.ops), each after those whose output it takes."""
    functional = model if hasattr(model, "operations") else keras.Model(model.inputs, model.outputs)  # for a Sequential
    return [operation for operation in functional.operations if not isinstance(operation, keras.layers.InputLayer)]


def of_a_second_call(model: keras.Model) -> str | None:
    """What of a model comes from another call of a layer than its first, the only one that an operation tells of: "what
    goes into NAME", or "what gives its logits". None where each layer is called once."""
    steps = operations(model)
    known = {id(tensor) for tensor in keras.tree.flatten([model.inputs, [step.output for step in steps]])}
    for step in steps:
        if not {id(tensor) for tensor in keras.tree.flatten(step.input)} <= known:
            return f"what goes into {step.name}"
    return None if {id(output) for output in model.outputs} <= known else "what gives its logits"


def feature_layers(model: keras.Model) -> dict[str, keras.Operation]:
    """By name, from the pixels upwards, the layers and operations that give feature maps: a tensor of four dimensions,
    (n, rows, columns, channels), that a layer with a kernel has had a part in."""
    made = _made_with_a_kernel(model)
    return {
        operation.name: operation
        for operation in operations(model)
        if isinstance(operation.output, keras.KerasTensor)
        and len(operation.output.shape) == 4
        and id(operation.output) in made
    }


def cam_layer(model: keras.Model, name: str | None = None) -> keras.Operation:
    """The layer or operation of that name, whose feature maps a CAM weighs.

    Where `name` is None it is the one that gives the last feature maps before they are made a vector, by flattening,
    global pooling or a convolution over all of them; not counted are a max or average pooling and dropout just before
    that. So it is the sum of the last residual block or the activation after it, and the convolution before a last
    pooling and a Flatten. Maps that are reshaped to tokens, as a vision transformer's patches are, are not taken.

    Raises:
        UserError: there is none; or the model takes images of any size.
    """
    image_shape(model)
    layers = feature_layers(model)
    if name is not None:
        if name not in layers:
            near = list(layers) if len(layers) <= _MOST_NAMED else get_close_matches(name, layers, n=3, cutoff=0)
            choice = f"has {', '.join(of for of in layers if of in near)}" if near else "has none at all"
            more = f" and {len(layers) - len(near)} more" if len(layers) > len(near) else ""
            raise UserError(f"the model has no layer '{name}' with feature maps: it {choice}{more}")
        return layers[name]
    if not layers:
        raise UserError("the model has no layer with feature maps")
    made_by = {id(layer.output): layer for layer in layers.values()}
    for operation in reversed(operations(model)):
        if all(_cells(tensor) == 1 for tensor in keras.tree.flatten(operation.output)):
            for tensor in keras.tree.flatten(operation.input):
                if id(tensor) in made_by and _cells(tensor) > 1:
                    layer = made_by[id(tensor)]
                    while isinstance(layer, _POOLED) and id(layer.input) in made_by:
                        layer = made_by[id(layer.input)]
                    return layer
    raise UserError(
        "the model neither pools nor flattens its feature maps: name a layer with insight.layer, such as "
        f"{list(layers)[-1]}"
    )


def _made_with_a_kernel(model: keras.Model) -> set[int]:
    """The ids of the tensors in which a layer with a weight of two dimensions or more has had a part."""
    made: set[int] = set()
    for operation in operations(model):
        has_kernel = any(len(weight.shape) > 1 for weight in getattr(operation, "weights", ()))
        if has_kernel or any(id(tensor) in made for tensor in keras.tree.flatten(operation.input)):
            made.update(id(tensor) for tensor in keras.tree.flatten(operation.output))
    return made


def _cells(tensor: keras.KerasTensor) -> int:
    """How many positions it has for one image; a vector has one, and tokens as many as there are."""
    positions = 1
    for side in tensor.shape[1:-1]:
        positions *= side
    return positions


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
    return [
        operation
        for operation in operations(model)
        if any(tensor is layer.output for tensor in keras.tree.flatten(operation.input))
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
