"""A trained image classifier → a Functional model from pixels to logits, in float32: what pictures are made of.

For a gradient of the pixels in bfloat16 has two digits, and a softmax hides what speaks for a class behind what speaks
against the others.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras.layers import Activation, Softmax

from harness.errors import RunError
from harness.models.cloning import cloned
from harness.models.flatten import flattened

_TRIED = 4
"""Images of noise on which the copy is held against the model."""
_TOLERANCE = 1e-3
"""Of the largest output."""


def pixels_to_logits(
    model: keras.Model, image_shape: tuple[int, int, int], low: float = 0.0, high: float = 255.0
) -> keras.Model:
    """A copy of `model` without its last softmax, which takes pixels from 0 to 255.

    Models within the model are dissolved, so that all its layers are the copy's. Unless the model computes in half
    precision, the copy is held against it on images of noise.

    Args:
        model: Sequential or Functional, one image in and (n, classes) out: logits, or probabilities by a softmax.
        image_shape: height, width, channels of the images.
        low, high: what the model takes for the pixels 0 and 255.

    Raises:
        RunError: the model is no classifier of such images, a weight is not finite, or the copy says something else.
    """
    _check(model, image_shape)
    pixels = keras.Input(image_shape, name="pixels")
    if (low, high) == (0.0, 255.0):
        scaled = pixels
    else:
        scaled = keras.layers.Rescaling((high - low) / 255, low, name="pixels_to_input")(pixels)

    flat = flattened(model)
    last = flat.outputs[0]._keras_history.operation
    has_softmax = isinstance(last, Softmax) or getattr(last, "activation", None) is keras.activations.softmax
    is_softmax = has_softmax and isinstance(last, Softmax | Activation)

    def copy_of(layer: keras.Operation) -> keras.Operation:
        settings = layer.get_config()
        if isinstance(layer, keras.layers.Layer):
            settings["dtype"] = "float32"
        if layer is last and has_softmax and not is_softmax:
            settings["activation"] = "linear"
        return type(layer).from_config(settings)

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = keras.tree.map_structure(lambda value: scaled if value is pixels else value, (args, kwargs))
        return args[0] if is_softmax and layer.name == last.name else layer(*args, **kwargs)

    copy = cloned(flat, input_tensors=[pixels], clone_function=copy_of, call_function=call)
    logits = keras.Model(copy.inputs[0], copy.outputs[0], name=model.name)
    if _is_whole(flat):  # half precision says something else anyway, and through a softmax anything
        _compare(logits, model, lambda images: images * (high - low) / 255 + low, has_softmax)
    return logits


def takes(model: keras.Model, image_shape: tuple[int, ...]) -> bool:
    """Whether a model takes images of that shape; a side that it leaves open may have any length."""
    taken = model.inputs[0].shape[1:]
    return len(taken) == len(image_shape) and all(
        side in (None, actual) for side, actual in zip(taken, image_shape, strict=True)
    )


def _is_whole(model: keras.Model) -> bool:
    return all(layer.compute_dtype in ("float32", "float64") for layer in model.layers if layer.weights)


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
    if not takes(model, image_shape):
        raise RunError(f"the model {model.name} takes images of shape {taken}, not {image_shape}")
    if len(given) != 1 or given[0] is None or given[0] < 2:
        raise RunError(
            f"the model {model.name} gives outputs of shape {given}: it must give (classes,), 2 classes at least"
        )
    for weight in model.weights:
        if not np.isfinite(weight.numpy()).all():
            raise RunError(f"the model {model.name} has weights that are not finite, in {weight.path}: train it anew")


def _compare(logits: keras.Model, model: keras.Model, taken: Callable[[Any], Any], has_softmax: bool) -> None:
    """Hold the copy against the model; `taken` makes what the model takes of pixels."""
    noise = np.random.default_rng(0).uniform(0, 255, (_TRIED, *logits.input_shape[1:])).astype(np.float32)
    expected = np.asarray(model.predict_on_batch(taken(noise)), np.float32)
    says = keras.ops.convert_to_numpy(logits(noise, training=False))
    if has_softmax:
        says = keras.ops.convert_to_numpy(keras.ops.softmax(says))
    elif _ends_in_sigmoid(logits) or (expected.min() >= 0 and np.allclose(expected.sum(axis=1), 1, atol=0.01)):
        raise RunError(
            f"the model {model.name} gives probabilities, and not by a softmax layer at its end: end it in one, "
            "or in logits"
        )
    error = float(np.abs(says - expected).max())
    if np.isfinite(expected).all() and not error <= _TOLERANCE * np.abs(expected).max():
        raise RunError(
            f"the model {model.name} can't be copied: the copy's outputs are off by up to {error:.3g}; "
            "is there a layer in it whose get_config doesn't tell all, or one that is random?"
        )


def _ends_in_sigmoid(logits: keras.Model) -> bool:
    last = logits.outputs[0]._keras_history.operation
    return getattr(last, "activation", None) is keras.activations.sigmoid or type(last).__name__ == "Sigmoid"
