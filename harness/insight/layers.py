"""Finding one's way in a functional model: its logits, its convolutional layers."""

import keras

from harness.errors import UserError


def logits_model(model: keras.Model) -> keras.Model:
    """The functional model from the pixels of `model` to its layer "logits"; the weights are shared.

    A softmax would mix the classes: its gradient for one class also falls when another class rises. So everything
    in this package works on logits.

    Raises:
        UserError: the model has no layer of that name.
    """
    if "logits" not in [layer.name for layer in model.layers]:
        names = ", ".join(layer.name for layer in model.layers)
        raise UserError(f"the model has no layer named 'logits', which the pictures are made from; it has: {names}")
    return keras.Model([model.input], model.get_layer("logits").output)


def convolutions(model: keras.Model) -> list[keras.layers.Conv2D]:
    """The two-dimensional convolutional layers, from the pixels upwards.

    Raises:
        UserError: there is none.
    """
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    if not layers:
        raise UserError("the model has no Conv2D layer, so there are no filters to show")
    return layers
