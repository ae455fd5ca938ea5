"""Whether a model trains on several replicas as it does on one."""

import keras

from harness.errors import ConfigError
from harness.keras_internals import draws_at_random, graph_layers, has_own_state

_BY_EXAMPLE = (
    keras.layers.Dropout,  # SpatialDropout is one too
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.AlphaDropout,
)
"""Layers that draw something for each example, which is made a function of its place in the stream of examples."""


def check_replicable(model: keras.Model, replicas: int) -> None:
    """Raise ConfigError where a layer of `model`, however deep inside, would make several replicas differ from one."""
    if replicas == 1:
        return
    for layer in graph_layers(model):
        if layer.activity_regularizer is not None:
            raise ConfigError(
                f"model: the activity regularizer of layer {layer.name} sums over the examples of a replica, so "
                f"{replicas} replicas would differ from one: leave it out, or train on one replica"
            )
        if not type(layer).__module__.startswith("keras.") and has_own_state(layer):
            raise ConfigError(
                f"model: layer {layer.name}, of your own, keeps a state, which each of {replicas} replicas would have "
                "for itself: leave it out, or train on one replica"
            )
        if not draws_at_random(layer):
            continue
        shape = getattr(layer, "noise_shape", None)
        if not isinstance(layer, _BY_EXAMPLE) or (shape is not None and shape[0] is not None):
            raise ConfigError(
                f"model: {replicas} replicas would draw different numbers in layer {layer.name} than one: leave it "
                "out, or train on one replica"
            )
