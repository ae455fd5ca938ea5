"""The patches of image that excite a layer's filters most."""

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tf_keras_vis.activation_maximization import ActivationMaximization
from tf_keras_vis.activation_maximization.regularizers import TotalVariation2D
from tf_keras_vis.utils.model_modifiers import ExtractIntermediateLayer, ReplaceToLinear

from harness.insight.layers import centre_unit
from harness.insight.receptive_fields import receptive_fields

_PIXEL_RANGE = (0.0, 255.0)
_SMOOTHNESS = 0.3
"""Weight of the total variation, in mean gradients of the unit by a pixel, so that it fits any filter."""


def activation_maximization(model: keras.Model, layer: str, *, steps: int = 60, seed: int = 0) -> NDArray[np.float32]:
    """For each filter of a convolutional layer the patch of image that excites its middle unit most.

    Gradient ascent by Adam from grey with a little noise, all filters at once, on

        activation before the nonlinearity - smoothness · total variation

    clipped to 0 to 255 at each step; what the unit doesn't see stays grey and is cut off. The middle unit,
    not the mean over the feature map: what suits a whole map is one flat shade where the layer is linear.
    Erhan et al. 2009, "Visualizing Higher-Layer Features of a Deep Network", section 3; total variation as in
    Mahendran and Vedaldi 2015 (arXiv 1412.0035).

    Args:
        model: functional, from raw pixels.
        layer: the name of a Conv2D layer.

    Returns:
        (filters, height, width, channels) float32 pixels, 0 to 255; height and width of the receptive field.
    """
    filters = model.get_layer(layer).filters
    noise = np.random.default_rng(seed).uniform(-10, 10, (filters, *model.input_shape[1:]))
    start = tf.constant(127.5 + noise, tf.float32)
    engine = ActivationMaximization(model, [ExtractIntermediateLayer(layer), ReplaceToLinear()])
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(start)
        units = _unit_of_each_image(engine.model([start]))
    gradient = np.abs(tape.gradient(units, start).numpy()).reshape(filters, -1)
    scale = gradient.sum(axis=1) / np.maximum(np.count_nonzero(gradient, axis=1), 1)
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    images = engine(
        lambda maps: _unit_of_each_image(maps) / scale,
        seed_input=start,
        input_range=_PIXEL_RANGE,
        input_modifiers=[],
        # The engine divides the total variation by the number of values in an image.
        regularizers=[TotalVariation2D(_SMOOTHNESS * noise[0].size)],
        optimizer=keras.optimizers.Adam(8.0),
        steps=steps,
    )
    rows, columns = receptive_fields(model, layer).middle()
    return np.asarray(images, np.float32)[:, rows, columns]


def _unit_of_each_image(maps: tf.Tensor) -> tf.Tensor:
    """The middle unit of filter i for image i, (n,), from feature maps (n, height, width, n)."""
    return tf.linalg.diag_part(centre_unit(maps))
