"""A trained image classifier → a Functional model from pixels to logits, in float32: what pictures are made of.

For a gradient of the pixels in bfloat16 has two digits, and a softmax hides what speaks for a class behind what speaks
against the others.
"""

from typing import Any

import keras
import numpy as np
from keras.layers import Activation, Softmax

from harness.errors import RunError


def pixels_to_logits(
    model: keras.Model, image_shape: tuple[int, int, int], low: float = 0.0, high: float = 255.0
) -> keras.Model:
    """A copy of `model` without its last softmax, which takes pixels from 0 to 255.

    Args:
        model: Sequential or Functional, one image in and (n, classes) out: logits, or probabilities by a softmax.
        image_shape: height, width, channels of the images.
        low, high: what the model takes for the pixels 0 and 255.

    Raises:
        RunError: the model is no classifier of such images, or a weight is not finite.
    """
    _check(model, image_shape)
    pixels = keras.Input(image_shape, name="pixels")
    if (low, high) == (0.0, 255.0):
        scaled = pixels
    else:
        scaled = keras.layers.Rescaling((high - low) / 255, low, name="pixels_to_input")(pixels)

    def copy_of(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.Model):
            return keras.models.clone_model(layer, clone_function=copy_of)
        if not isinstance(layer, keras.layers.Layer):  # an operation, such as keras.ops.add, has no weights
            return layer
        settings = {**layer.get_config(), "dtype": "float32"}
        if layer is last and _is_softmax(getattr(layer, "activation", None)):
            settings["activation"] = "linear"
        return type(layer).from_config(settings)

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = keras.tree.map_structure(lambda value: scaled if value is pixels else value, (args, kwargs))
        return layer(*args, **kwargs)

    output = model.outputs[0]
    last = output._keras_history.operation
    if isinstance(last, Softmax) or (isinstance(last, Activation) and _is_softmax(last.activation)):
        output = last.input
        last = output._keras_history.operation
    flat = keras.Model([model.inputs[0]], output)
    copy = keras.models.clone_model(flat, input_tensors=[pixels], clone_function=copy_of, call_function=call)
    copy.set_weights(flat.get_weights())
    return keras.Model(copy.inputs[0], copy.outputs[0], name=model.name)


def _is_softmax(activation: Any) -> bool:
    return activation is keras.activations.softmax


def _check(model: keras.Model, image_shape: tuple[int, int, int]) -> None:
    if not isinstance(model, keras.Sequential) and not hasattr(model, "_operations"):
        raise RunError(f"the model {model.name} is a subclass of keras.Model: give a Sequential or a Functional one")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise RunError(
            f"the model {model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs: "
            "give one that takes an image and gives its classes"
        )
    taken, given = model.inputs[0].shape[1:], model.outputs[0].shape[1:]
    if len(taken) != 3 or taken[-1] not in (1, 3):
        raise RunError(
            f"the model {model.name} takes inputs of shape {taken}, which are no images: "
            "it must take (height, width, channels) with 1 or 3 channels"
        )
    if any(side not in (None, actual) for side, actual in zip(taken, image_shape, strict=True)):
        raise RunError(f"the model {model.name} takes images of shape {taken}, not {image_shape}")
    if len(given) != 1 or given[0] is None or given[0] < 2:
        raise RunError(
            f"the model {model.name} gives outputs of shape {given}: it must give (classes,), 2 classes at least"
        )
    for weight in model.weights:
        if not np.isfinite(weight.numpy()).all():
            raise RunError(f"the model {model.name} has weights that are not finite, in {weight.path}: train it anew")
