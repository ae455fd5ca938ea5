"""Layer-wise relevance propagation: the logit is handed down from layer to layer, to each input by its share.

The method is that of Bach et al. 2015 (PLOS ONE 10(7): e0130140), the rules those of Montavon et al. 2019, "Layer-Wise
Relevance Propagation: An Overview" (in "Explainable AI", Springer LNCS 11700), section 10.2.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from harness.errors import UserError
from harness.insight.inference import infer
from harness.insight.layers import of_a_second_call, operations
from harness.insight.saliency.chunks import Maps, in_chunks
from harness.insight.saliency.lrp_rules import Linear, Tensors, epsilon_rule, gamma_rule, pixel_rule, shared, stepped

Bounds = dict[int, tuple[tf.Tensor, tf.Tensor]]

_LINEAR = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)
_AFFINE = (
    layers.BatchNormalization, layers.Normalization, layers.Rescaling,
    # These pass on what they get unless the model is trained.
    layers.ActivityRegularization, layers.AlphaDropout, layers.Dropout, layers.GaussianDropout, layers.GaussianNoise,
    layers.Identity, layers.RandomBrightness, layers.RandomContrast, layers.RandomFlip, layers.RandomRotation,
    layers.RandomTranslation, layers.RandomZoom, layers.SpatialDropout2D,
)  # fmt: skip
"""Each value goes its own way: it keeps its relevance."""
_ACTIVATIONS = (layers.Activation, layers.ELU, layers.LeakyReLU, layers.PReLU, layers.ReLU)
_SIGN_PRESERVING = ("elu", "gelu", "leaky_relu", "linear", "relu", "relu6", "selu", "silu", "softsign", "tanh")
"""Names of the activations that leave 0 and the sign alone, through which relevance passes as it is."""
_ROUTED = (
    layers.Concatenate, layers.Cropping2D, layers.Flatten, layers.GlobalMaxPooling2D, layers.MaxPooling2D,
    layers.Permute, layers.Reshape, layers.Resizing, layers.ZeroPadding2D,
)  # fmt: skip
"""Each output is one of the inputs, to which its relevance goes: of a max pooling, to the winner. Of a resizing it is a
mean of some, among which the relevance is divided by their weights in it."""
_SHAPING = (layers.Cropping2D, layers.Flatten, layers.Permute, layers.Reshape, layers.ZeroPadding2D)
_OF_PIXELS = (*_AFFINE, *_SHAPING, layers.AveragePooling2D, layers.Concatenate, layers.Resizing)
"""What leaves black the least value, or the largest."""
_SUMMED = (layers.Add, layers.Average, layers.AveragePooling2D, layers.GlobalAveragePooling2D)
"""Weighed sums without weights of their own, which are shared out by the addends."""
_ADD, _GREY, _RELUS = "Add", "RGBToGrayscale", ("Relu", "Relu6")
"""Class names of what `x + y` and keras.ops make of a symbolic tensor: the classes themselves aren't public."""


def lrp(
    logits: keras.Model,
    images: NDArray[Any],
    labels: NDArray[Any],
    *,
    gamma: float = 0.25,
    epsilon: float = 0.25,
) -> Maps:
    """LRP, signed, in logits; the sum over channels.

    A layer z_k = Σ_j a_j w_jk + b_k hands the relevance R_k of its outputs down to its inputs:

        dense layers        LRP-ε   R_j = Σ_k a_j w_jk / (z_k + ε sign(z_k)) R_k
        convolutions        LRP-γ   R_j = Σ_k a_j (w_jk + γ w_jk⁺) / Σ_j a_j (w_jk + γ w_jk⁺) R_k
        the one at pixels   z^B     R_j = Σ_k (a_j w_jk - l w_jk⁺ - h w_jk⁻) / Σ_j (a_j w_jk - l w_jk⁺ - h w_jk⁻) R_k

    `epsilon` is a share of the root mean square of the layer's z over its outputs, image by image. LRP-γ is written for
    inputs from 0 upwards; where they have signs, γ raises those products a_j w_jk that have the sign of z_k
    (Andéol et al. 2021, "Learning Domain Invariant Representations by Joint Wasserstein Distance Minimization",
    arXiv 2106.04923). l and h are what becomes of the pixels 0 and 255 on the way to the layer. Sums are shared out
    like LRP-ε with ε near 0. Batch normalization after a convolution or a dense layer is one with it; elsewhere it
    passes relevance on, as activations do. The map adds up to the logit, less what biases and ε take.

    Raises:
        UserError: a layer has no rule here (`unsupported`).
    """
    reason = unsupported(logits)
    if reason is not None:
        raise UserError(reason)
    settings = tf.constant(gamma, tf.float32), tf.constant(epsilon, tf.float32)
    return in_chunks(logits, lambda images, labels: _map(logits, images, labels, *settings).numpy(), images, labels)


def unsupported(logits: keras.Model) -> str | None:
    """Why LRP can't explain a model; None where it can."""
    for step in operations(logits):
        if not _has_rule(step):
            return f"the model has a layer that LRP has no rule for, {step.name} ({type(step).__name__})"
    again = of_a_second_call(logits)
    return f"the model calls a layer twice, which LRP can't follow: {again}" if again else None


def _has_rule(step: keras.Operation) -> bool:
    if type(step) in _LINEAR or isinstance(step, layers.Activation):
        return getattr(step.activation, "__name__", None) in _SIGN_PRESERVING
    return (
        isinstance(step, (*_AFFINE, *_ACTIVATIONS, *_ROUTED, *_SUMMED))
        or type(step).__name__ in _RELUS
        or _is_grey(step)
        or _is_sum(step)
    )


def _is_sum(step: keras.Operation) -> bool:
    """Whether it is `x + y` of two tensors, which no constant joins."""
    return type(step).__name__ == _ADD and len(keras.tree.flatten(step.input)) > 1


def _is_grey(step: keras.Operation) -> bool:
    return type(step).__name__ == _GREY


def _is_mean_of_pixels(step: keras.Operation, bounds: Bounds) -> bool:
    """Where pixels are averaged black ones too have their share of the relevance."""
    return isinstance(step, layers.AveragePooling2D) and id(step.input) in bounds


# Its loops and branches are over layers, not tensors: without AutoGraph, whose translation takes seconds.
@tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
def _map(logits: keras.Model, images: tf.Tensor, labels: tf.Tensor, gamma: tf.Tensor, epsilon: tf.Tensor) -> tf.Tensor:
    steps = operations(logits)
    pixels, outputs = logits.inputs[0], [step.output for step in steps]
    values = {id(pixels): images} | _values(logits, outputs, images)
    bounds = _bounds(logits, steps, images)

    result = values[id(logits.outputs[0])]
    relevance = {id(logits.outputs[0]): result * tf.one_hot(labels, result.shape[1])}
    for step in reversed(steps):
        if id(step.output) not in relevance:
            continue
        inputs = keras.tree.flatten(step.input)
        taken, given = [values[id(tensor)] for tensor in inputs], relevance.pop(id(step.output))
        if type(step) in _LINEAR:
            linear = Linear(step, _normalization(logits, steps, step))
            (value,), tensor = taken, id(inputs[0])
            if tensor in bounds:
                shares = [pixel_rule(linear, value, *bounds[tensor], given)]
            elif isinstance(step, layers.Dense):
                shares = [epsilon_rule(linear, value, given, epsilon)]
            else:
                shares = [gamma_rule(linear, value, given, gamma)]
        elif isinstance(step, _ROUTED) or _is_grey(step) or _is_mean_of_pixels(step, bounds):
            shares = stepped(_function(step), taken, given)
        elif isinstance(step, _SUMMED) or _is_sum(step):
            shares = shared(_function(step), taken, given)
        else:
            shares = [given]
        for tensor, share in zip(inputs, shares, strict=True):
            relevance[id(tensor)] = relevance.get(id(tensor), 0) + share
    return tf.reduce_sum(relevance[id(pixels)], axis=-1)


def _values(model: keras.Model, tensors: list[Any], images: tf.Tensor) -> dict[int, tf.Tensor]:
    """What the symbolic tensors are for these images, by id."""
    found = keras.tree.flatten(infer(keras.Model(model.inputs, tensors), images)) if tensors else []
    return {id(tensor): value for tensor, value in zip(tensors, found, strict=True)}


def _bounds(model: keras.Model, steps: list[keras.Operation], images: tf.Tensor) -> Bounds:
    """The least and the largest value that each place can have, like the tensor, of the pixels and of what is only them
    shifted, scaled, moved and averaged; by id."""
    reached = [model.inputs[0]]
    for step in steps:
        taken = {id(tensor) for tensor in keras.tree.flatten(step.input)}
        if (isinstance(step, _OF_PIXELS) or _is_grey(step)) and taken <= {id(tensor) for tensor in reached}:
            reached.append(step.output)
    ends = [tf.fill(tf.shape(images), value) for value in (0.0, 255.0)]
    black, white = ({id(reached[0]): end} | _values(model, reached[1:], end) for end in ends)
    return {key: (tf.minimum(black[key], white[key]), tf.maximum(black[key], white[key])) for key in black}


def _normalization(
    model: keras.Model, steps: list[keras.Operation], linear: keras.layers.Layer
) -> keras.layers.BatchNormalization | None:
    """The batch normalization of a layer's channels that alone gets what the layer gives."""
    consumers = [step for step in steps if any(tensor is linear.output for tensor in keras.tree.flatten(step.input))]
    if linear.activation is not keras.activations.linear or len(consumers) != 1 or linear.output is model.outputs[0]:
        return None
    (only,) = consumers
    is_one = isinstance(only, layers.BatchNormalization) and only.axis in (-1, len(linear.output.shape) - 1)
    return only if is_one else None


def _function(step: keras.Operation) -> Callable[[Tensors], tf.Tensor]:
    def called(tensors: Tensors) -> tf.Tensor:
        if _is_sum(step):
            return tf.add_n(tensors)
        return step(tensors if isinstance(step.input, list | tuple) else tensors[0])

    return called
