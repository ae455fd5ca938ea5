"""What the convolutional filters are: their kernels, the images that excite them, what they make of an image."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tf_keras_vis.activation_maximization import ActivationMaximization
from tf_keras_vis.activation_maximization.regularizers import TotalVariation2D
from tf_keras_vis.utils.model_modifiers import ExtractIntermediateLayer, ReplaceToLinear

from harness.insight.layers import convolutions

_PIXEL_RANGE = (0.0, 255.0)


def first_kernels(model: keras.Model) -> NDArray[np.float32]:
    """The kernels of the first convolutional layer, (filters, height, width, channels) float32, signed.

    Raises:
        UserError: the model has no Conv2D layer.
    """
    kernel: NDArray[np.float32] = convolutions(model)[0].kernel.numpy()
    return np.moveaxis(kernel, -1, 0)


def activation_maximization(
    model: keras.Model, layer: str, *, steps: int = 100, seed: int = 0
) -> NDArray[np.float32]:
    """For each filter of a layer an image that excites it: (filters, height, width, channels) float32, 0 to 255."""
    filters = model.get_layer(layer).filters
    random = np.random.default_rng(seed)
    start = random.uniform(110.0, 145.0, (filters, *model.input_shape[1:])).astype(np.float32)

    def jitter(images: tf.Tensor) -> tf.Tensor:
        return tf.roll(images, shift=random.integers(-2, 3, 2), axis=(1, 2))

    engine = ActivationMaximization(model, [ExtractIntermediateLayer(layer), ReplaceToLinear()])
    images = engine(
        lambda maps: tf.linalg.diag_part(tf.reduce_mean(maps, axis=(1, 2))),
        seed_input=start,
        input_range=_PIXEL_RANGE,
        input_modifiers=[jitter],
        regularizers=[TotalVariation2D(weight=0.01)],
        optimizer=keras.optimizers.Adam(8.0),
        steps=steps,
    )
    return np.asarray(images, np.float32)


def feature_maps(model: keras.Model, image: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
    """What each convolutional layer makes of one image, after its activation.

    Args:
        image: (height, width, channels), raw pixels.

    Returns:
        layer's name -> (filters, height, width) float32, from the pixels upwards.

    Raises:
        UserError: the model has no Conv2D layer.
    """
    layers = convolutions(model)
    outputs = keras.Model([model.input], [layer.output for layer in layers])(image[np.newaxis].astype(np.float32))
    return {
        layer.name: np.moveaxis(output[0].numpy().astype(np.float32), -1, 0)
        for layer, output in zip(layers, outputs, strict=True)
    }
