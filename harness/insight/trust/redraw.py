"""A model as it was before training: its weights drawn anew, in place, and put back."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np

_NAMED_OTHERWISE = {"kernel": "depthwise", "depthwise_kernel": "depthwise", "pointwise_kernel": "pointwise"}
"""Initializers of DepthwiseConv2D's `kernel` and of SeparableConv2D's two."""


def layers_with_weights(model: keras.Model) -> list[keras.layers.Layer]:
    """From the last one down, those of models within it too; without Normalization, whose weights describe the data."""
    found: list[keras.layers.Layer] = []
    for layer in reversed(model.layers):
        if isinstance(layer, keras.Model):
            found += layers_with_weights(layer)
        elif layer.weights and not isinstance(layer, keras.layers.Normalization):
            found.append(layer)
    return found


@contextmanager
def weights_restored(model: keras.Model) -> Iterator[None]:
    """While entered, the weights may be drawn anew; those from before are put back at the end."""
    # Replaced in place, so that what is compiled for the model stays so.
    weights = model.get_weights()
    try:
        yield
    finally:
        model.set_weights(weights)


def draw_anew(layer: keras.layers.Layer, seed: tuple[int, ...]) -> None:
    """Give every weight of a layer new values from its initializer; one that has none gets its own shuffled."""
    seeds = np.random.default_rng(seed).integers(0, 2**31, len(layer.weights))
    for weight, own_seed in zip(layer.weights, seeds.tolist(), strict=True):
        initializer = _initializer(layer, weight.name)
        if initializer is not None:
            settings = initializer.get_config()
            if "seed" in settings:  # fixed, it would draw the values that training began from
                settings["seed"] = own_seed
            weight.assign(type(initializer).from_config(settings)(weight.shape, weight.dtype))
        else:
            values = weight.numpy()
            weight.assign(np.random.default_rng(own_seed).permutation(values.reshape(-1)).reshape(values.shape))


def _initializer(layer: keras.layers.Layer, weight: str) -> keras.initializers.Initializer | None:
    """`w_initializer` for a weight `w`, or what Keras calls it instead; None where the layer keeps none."""
    for name in (weight, _NAMED_OTHERWISE.get(weight, weight)):
        initializer = getattr(layer, f"{name}_initializer", None)
        if isinstance(initializer, keras.initializers.Initializer):
            return initializer
    return None
