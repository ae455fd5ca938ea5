"""A trained image classifier → a Functional model from pixels to logits, in float32: what pictures are made of.

For a gradient of the pixels in bfloat16 has two digits, and a softmax hides what speaks for a class behind what speaks
against the others.
"""

from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
from keras.layers import Activation
from numpy.typing import NDArray

from harness.errors import RunError
from harness.keras_internals import last_operation
from harness.models.flatten import cloned, flattened, is_graph

_HALVES = {-0.5: "against", 0.5: "for"}
"""Of a single logit: the two that are made of it."""
_TRIED = 4
"""Images of noise on which the copy is held against the model."""
_TOLERANCE = 1e-3
"""Of the largest output."""


class WrongShape(RunError):
    """A model that takes images of another shape."""


class IndependentLogits(keras.layers.Identity):  # type: ignore[misc]
    """Ends a model whose classes don't exclude each other: the probability of each is the sigmoid of its logit."""


def probabilities(model: Callable[..., Any], outputs: Any) -> NDArray[np.float32]:
    """What the logits (n, classes) of a model stand for: their softmax, or each one's sigmoid where it ends in
    IndependentLogits."""
    return np.asarray(link(model)(outputs), np.float32)


def link(model: Callable[..., Any]) -> Callable[[Any], Any]:
    """What makes probabilities of the logits of a model, as tensors: see `probabilities`."""
    return keras.ops.sigmoid if is_independent(model) else keras.ops.softmax  # type: ignore[no-any-return]


def is_independent(model: Callable[..., Any]) -> bool:
    """Whether the classes of a model of logits don't exclude each other."""
    return isinstance(model, keras.Model) and isinstance(last_operation(model), IndependentLogits)


def pixels_to_logits(
    model: keras.Model,
    image_shape: tuple[int, int, int],
    low: float = 0.0,
    high: float = 255.0,
    keep_single_logit: bool = False,
) -> keras.Model:
    """A copy of `model` without its last softmax or sigmoid, which takes pixels from 0 to 255.

    Models within the model are dissolved, so that all its layers are the copy's; a subclass of keras.Model stays whole,
    and is shared. Unless the model computes in half precision, the copy is held against it on images of noise.

    Of a single logit z, or its sigmoid, two classes are made, with the logits -z/2 and z/2: their softmax is the
    sigmoid, and what speaks for one class speaks against the other; unless `keep_single_logit`. Several sigmoids stay
    independent, as `probabilities` knows.

    Args:
        model: one image in and (n, classes) out: logits, or probabilities by a softmax or sigmoids at the end.
        image_shape: height, width, channels of the images.
        low, high: what the model takes for the pixels 0 and 255.
        keep_single_logit: give one logit (n, 1) as it is.

    Raises:
        RunError: the model is no classifier of such images, a weight is not finite, or the copy says something else.
    """
    model = as_functional(model, image_shape)
    _check(model, image_shape)
    pixels = keras.Input(image_shape, name="pixels")
    if (low, high) == (0.0, 255.0):
        scaled = pixels
    else:
        scaled = keras.layers.Rescaling((high - low) / 255, low, name="pixels_to_input")(pixels)

    flat = flattened(model)
    last = last_operation(flat)
    end = ending(last)
    ends_alone = end is not None and (isinstance(last, Activation) or not hasattr(last, "activation"))

    def copy_of(layer: keras.Operation) -> keras.Operation:
        if isinstance(layer, keras.Model):
            return layer
        settings = layer.get_config()
        if isinstance(layer, keras.layers.Layer):
            settings["dtype"] = "float32"
        if layer is last and end and not ends_alone:
            settings["activation"] = "linear"
        return type(layer).from_config(settings)

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = keras.tree.map_structure(lambda value: scaled if value is pixels else value, (args, kwargs))
        return args[0] if ends_alone and layer.name == last.name else layer(*args, **kwargs)

    outputs = cloned(flat, input_tensors=[pixels], clone_function=copy_of, call_function=call).outputs[0]
    copy = keras.Model(pixels, outputs, name=model.name)
    if _is_whole(flat):  # half precision says something else anyway, and through a softmax anything
        _compare(copy, model, lambda images: images * (high - low) / 255 + low, end)
    if outputs.shape[1] == 1 and not keep_single_logit:
        halves = [keras.layers.Rescaling(half, name=name)(outputs) for half, name in _HALVES.items()]
        outputs = keras.layers.Concatenate(name="two_logits")(halves)
    elif end == "sigmoid" and outputs.shape[1] > 1:
        outputs = IndependentLogits(name="independent_logits")(outputs)
    return keras.Model(pixels, outputs, name=model.name)


def takes(model: keras.Model, image_shape: tuple[int, ...]) -> bool:
    """Whether a model takes images of that shape; a side that it leaves open may have any length."""
    taken = model.inputs[0].shape[1:]
    return len(taken) == len(image_shape) and all(
        side in (None, actual) for side, actual in zip(taken, image_shape, strict=True)
    )


def _is_whole(model: keras.Model) -> bool:
    return all(layer.compute_dtype in ("float32", "float64") for layer in model.layers if layer.weights)


def as_functional(model: keras.Model, image_shape: tuple[int, int, int]) -> keras.Model:
    """The model; a Sequential one by its layers, a subclass of keras.Model as the one layer of a Functional model.

    Raises RunError where a subclass can't be called on images of `image_shape`, (height, width, channels).
    """
    if is_graph(model):
        if isinstance(model, keras.Sequential):
            return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
        return model
    image = keras.Input(image_shape)
    try:
        return keras.Model(image, model(image), name=model.name)
    except Exception as error:  # noqa: BLE001  the user's own code, which may do anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunError(f"the model {model.name} can't be called on images of shape {image_shape}: {reason}") from None


def ending(last: keras.Operation) -> Literal["softmax", "sigmoid"] | None:
    """What makes probabilities of logits at a model's end: a layer, a layer's activation or an operation of keras.ops,
    whose class isn't public."""
    activation = getattr(last, "activation", None)
    if activation is keras.activations.softmax or type(last).__name__ == "Softmax":
        return "softmax"
    if activation is keras.activations.sigmoid or type(last).__name__ == "Sigmoid":
        return "sigmoid"
    return None


def _check(model: keras.Model, image_shape: tuple[int, int, int]) -> None:
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise RunError(
            f"the model {model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs: "
            "give one that takes an image and returns its classes"
        )
    taken, given = model.inputs[0].shape[1:], model.outputs[0].shape[1:]
    if len(taken) != 3:
        raise RunError(
            f"the model {model.name} takes inputs of shape {taken}, which are not images: "
            "it must take (height, width, channels)"
        )
    if not takes(model, image_shape):
        raise WrongShape(f"the model {model.name} takes images of shape {taken}, not {image_shape}")
    if len(given) != 1 or given[0] is None:
        raise RunError(f"the model {model.name} returns outputs of shape {given}: it must return (classes,)")
    if given[0] == 1 and ending(last_operation(model)) == "softmax":
        raise RunError(
            f"the model {model.name} ends in a softmax of one class, which is always 1: it must have 2 classes at least"
        )
    for weight in model.weights:
        if not np.isfinite(weight.numpy()).all():
            raise RunError(f"the model {model.name} has weights that are not finite, in {weight.path}: train it again")


def _compare(copy: keras.Model, model: keras.Model, taken: Callable[[Any], Any], end: str | None) -> None:
    """Hold the copy, which lacks the `end`, against the model; `taken` makes what the model takes of pixels."""
    noise = np.random.default_rng(0).uniform(0, 255, (_TRIED, *copy.input_shape[1:])).astype(np.float32)
    # Not by predict_on_batch: within the scope of a strategy that predicts the whole batch on each of the replicas.
    given = keras.tree.map_structure(lambda _: taken(noise), model.input)
    (answer,) = keras.tree.flatten(model(given, training=False))
    expected = keras.ops.convert_to_numpy(keras.ops.cast(answer, "float32"))
    outputs = copy(noise, training=False)
    if end:
        outputs = (keras.ops.softmax if end == "softmax" else keras.ops.sigmoid)(outputs)
    elif expected.shape[1] > 1 and expected.min() >= 0 and np.allclose(expected.sum(axis=1), 1, atol=0.01):
        raise RunError(
            f"the model {model.name} returns probabilities, but not from a last softmax: end it in one, or in logits"
        )
    error = float(np.abs(keras.ops.convert_to_numpy(outputs) - expected).max())
    if np.isfinite(expected).all() and not error <= _TOLERANCE * np.abs(expected).max():
        raise RunError(
            f"the model {model.name} can't be copied: the copy's outputs are off by up to {error:.3g}; "
            "is there a layer in it whose get_config leaves something out, or one that is random?"
        )
