"""Whether a model trains on several replicas as it does on one."""

import keras

from harness.errors import ConfigError
from harness.keras_internals import draws_at_random, graph_layers


def check_replicable(model: keras.Model, replicas: int) -> None:
    """Raise ConfigError where a layer of `model`, however deep inside, would make several replicas differ from one."""
    if replicas == 1:
        return
    for layer in graph_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized:
            raise ConfigError(
                f"model: batch statistics of layer {layer.name} are kept per replica: build it with synchronized=True, "
                "or train on one replica"
            )
        # As all of Keras's layers that draw: what they draw from is a variable, which every replica has alike.
        if draws_at_random(layer):
            raise ConfigError(
                f"model: {replicas} replicas would draw the same masks in layer {layer.name}, and so differ from one: "
                "leave it out, or train on one replica"
            )
