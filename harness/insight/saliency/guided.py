"""A copy of a model whose relus pass on only positive gradients."""

from collections.abc import Callable

import keras
import tensorflow as tf

from harness.errors import UserError
from harness.models.cloning import cloned

_RELUS = (keras.activations.relu, keras.activations.relu6)
_RELU_OPERATIONS = ("Relu", "Relu6")
"""Class names of what keras.ops make of a symbolic tensor: the classes themselves aren't public."""


def guided(model: keras.Model) -> keras.Model:
    """The model, functional, with the same weights, where each relu's gradient is its own times that of the gradient.

    Whether the relu is a layer's activation, a layer or an operation of its own. Raises UserError where there is none.
    """
    changed: list[str] = []

    def copy_of(layer: keras.Operation) -> keras.Operation:
        if type(layer).__name__ in _RELU_OPERATIONS or isinstance(layer, keras.layers.ReLU):
            changed.append(layer.name)
            return keras.layers.Activation(_guided(layer), name=layer.name)
        copy = type(layer).from_config(layer.get_config())
        if getattr(layer, "activation", None) in _RELUS:
            changed.append(layer.name)
            copy.activation = _guided(layer.activation)
        return copy

    copy = cloned(model, clone_function=copy_of)
    if not changed:
        raise UserError(f"the model {model.name} has no relu, which guided backpropagation is about")
    return copy


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
