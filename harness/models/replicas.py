"""Whether a model trains on several replicas as it does on one."""

import keras

from harness.errors import ConfigError


def check_replicable(model: keras.Model, replicas: int) -> None:
    """Raise ConfigError where a layer of `model`, however deep inside, would make several replicas differ from one."""
    if replicas == 1:
        return
    for layer in model._flatten_layers():  # Keras 3.15 has no public way into layers that wrap others
        if isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized:
            raise ConfigError(
                f"model: batch statistics of layer {layer.name} are kept per replica: build it with synchronized=True, "
                "or train on one replica"
            )
        # As all of Keras's layers that draw: what they draw from is a variable, which every replica has alike.
        if layer._seed_generators:
            raise ConfigError(
                f"model: {replicas} replicas would draw the same masks in layer {layer.name}, and so differ from one: "
                "leave it out, or train on one replica"
            )
