"""From a model to its copy: weights, and what layers work out from them."""

import keras


def copy_weights(model: keras.Model, copy: keras.Model) -> None:
    """Give `copy`, whose layers with weights are those of `model` in order, the model's weights."""
    copy.set_weights(model.get_weights())
    for layer in copy.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # what it normalizes by is worked out from its weights, once
