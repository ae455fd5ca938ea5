"""The convolutional layers of a functional model, and how much of the image one of their units sees."""

import keras
import numpy as np
import tensorflow as tf

from harness.errors import UserError


def convolutions(model: keras.Model) -> list[keras.layers.Conv2D]:
    """The two-dimensional convolutional layers, from the pixels upwards.

    Raises:
        UserError: there is none.
    """
    layers = _convolutions(model)
    if not layers:
        raise UserError("the model has no Conv2D layer, so there are no filters to show")
    return layers


def has_convolutions(model: keras.Model) -> bool:
    return bool(_convolutions(model))


def _convolutions(model: keras.Model) -> list[keras.layers.Conv2D]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


def convolution(model: keras.Model, name: str | None = None) -> keras.layers.Conv2D:
    """The convolutional layer of that name; the last one where it is None.

    Raises:
        UserError: there is none.
    """
    layers = {layer.name: layer for layer in convolutions(model)}
    if name is None:
        return list(layers.values())[-1]
    if name not in layers:
        raise UserError(f"the model has no convolutional layer '{name}': it has {', '.join(layers)}")
    return layers[name]


def centre_unit(maps: tf.Tensor) -> tf.Tensor:
    """From feature maps (n, height, width, filters) the units in the middle: (n, filters)."""
    return maps[:, maps.shape[1] // 2, maps.shape[2] // 2, :]


def receptive_field(model: keras.Model, layer: str) -> tuple[slice, slice]:
    """Rows and columns of the image that the middle unit of a layer's feature maps depends on.

    Found as the pixels that have a gradient in some of 64 random images, so that it holds for any layers
    between; the whole image for a layer that answers to nothing.
    """
    part = keras.Model(model.inputs, model.get_layer(layer).output)
    images = tf.random.stateless_uniform((64, *model.input_shape[1:]), seed=(0, 0), maxval=255.0)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        units = centre_unit(part([images]))
    seen = np.any(tape.gradient(units, images).numpy() != 0, axis=(0, 3))
    if not seen.any():
        seen[:] = True
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
