"""A model → a copy with its weights; a Functional model in which models stand like layers → one in which their layers
stand."""

from collections.abc import Iterable
from typing import Any

import keras

_CONVERSION = "ConvertToTensor"
"""The class's name: the class itself isn't public."""


def flattened(model: keras.Model) -> keras.Model:
    """The same as a Functional model without such models in it, however deep they were nested.

    A subclass of keras.Model stays a layer.

    Its layers are the model's own where there is nothing to dissolve, else copies; a layer whose name another one has
    too gets a number behind it.

    Args:
        model: Sequential or Functional, with one input and one output; it is left alone.
    """
    flat = keras.Model([model.inputs[0]], model.outputs[0], name=model.name)
    if not any(is_graph(layer) for layer in flat.layers):
        return flat
    flat = cloned(flat, clone_function=Renaming(), recursive=True)
    while any(_is_dissolved(operation) for operation in flat.operations):
        flat = keras.models.clone_model(flat, clone_function=lambda layer: layer, call_function=_call)
    return flat


def cloned(model: keras.Model, **how: Any) -> keras.Model:
    """A copy with the model's weights, made as keras.models.clone_model does with the arguments `how`."""
    copy = keras.models.clone_model(model, **how)
    copy.set_weights(model.get_weights())
    for layer in copy.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # what it normalizes by is worked out from its weights, once
    return copy


def is_graph(operation: keras.Operation) -> bool:
    """Whether it is a Sequential or a Functional model, whose layers are known, and no subclass with its own `call`."""
    return isinstance(operation, keras.Sequential) or (
        isinstance(operation, keras.Model) and hasattr(operation, "_operations")
    )


def _is_dissolved(operation: keras.Operation) -> bool:
    return is_graph(operation) or type(operation).__name__ == _CONVERSION


def _call(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
    # A model's `call` calls its layers on the symbolic tensors, and leaves nothing of the model but their conversion.
    if type(operation).__name__ == _CONVERSION:
        return args[0]
    return operation.call(*args) if is_graph(operation) else operation(*args, **kwargs)


class Renaming:
    """Copies layers, each with a name that no other has, and that is not `used` already."""

    def __init__(self, used: Iterable[str] = ()) -> None:
        self._used = set(used)

    def __call__(self, layer: keras.Operation) -> keras.Operation:
        if isinstance(layer, keras.Model):
            return layer
        name, number = layer.name, 1
        while name in self._used:
            name, number = f"{layer.name}_{number}", number + 1
        self._used.add(name)
        return type(layer).from_config({**layer.get_config(), "name": name})
