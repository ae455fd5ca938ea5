"""From a model to a copy of its own weights."""

from typing import Any

import keras


def cloned(model: keras.Model, **how: Any) -> keras.Model:
    """A copy with the model's weights, made as keras.models.clone_model does with the arguments `how`."""
    copy = keras.models.clone_model(model, **how)
    copy.set_weights(model.get_weights())
    for layer in copy.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # what it normalizes by is worked out from its weights, once
    return copy
