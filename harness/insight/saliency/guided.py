"""A copy of a model whose relus pass on only positive gradients."""

from collections.abc import Callable

import keras
import tensorflow as tf

from harness.errors import UserError
from harness.insight.layers import operations
from harness.models.flatten import cloned

_RELUS = (keras.activations.relu, keras.activations.relu6)
_RELU_OPERATIONS = ("Relu", "Relu6")
"""Class names of what keras.ops make of a symbolic tensor: the classes themselves aren't public."""


def lacks_relu(model: keras.Model) -> str | None:
    """Why there is nothing to guide in the model: None where it has a relu."""
    return None if any(_is_relu(of) or _has_relu(of) for of in operations(model)) else "the model has no relu"


def guided(model: keras.Model) -> keras.Model:
    """The model, functional, with the same weights, where each relu's gradient is its own times that of the gradient.

    Whether the relu is a layer's activation, a layer or an operation of its own. Raises UserError where there is none.
    """
    if reason := lacks_relu(model):
        raise UserError(f"{reason}, whose gradient guided backpropagation replaces")

    def copy_of(layer: keras.Operation) -> keras.Operation:
        if _is_relu(layer):
            return keras.layers.Activation(_guided(layer), name=layer.name)
        copy = type(layer).from_config(layer.get_config())
        if _has_relu(layer):
            copy.activation = _guided(layer.activation)
        return copy

    return cloned(model, clone_function=copy_of)


def _is_relu(layer: keras.Operation) -> bool:
    return type(layer).__name__ in _RELU_OPERATIONS or isinstance(layer, keras.layers.ReLU)


def _has_relu(layer: keras.Operation) -> bool:
    return getattr(layer, "activation", None) in _RELUS


def _guided(activation: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def relu(inputs: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def backwards(upstream: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(inputs)
                outputs = activation(inputs)
            return tape.gradient(outputs, inputs, tf.nn.relu(upstream))

        return activation(inputs), backwards

    function: Callable[[tf.Tensor], tf.Tensor] = relu
    return function
