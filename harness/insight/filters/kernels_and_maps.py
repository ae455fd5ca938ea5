"""The kernels of the first convolution, which are small pictures themselves, and what filters make of an image."""

from collections.abc import Collection
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.inference import infer
from harness.insight.layers import convolutions, features


def first_kernels(model: keras.Model) -> NDArray[np.float32]:
    """The kernels of the first convolutional layer: (filters, height, width, channels) float32, signed.

    Raises:
        UserError: the model has no Conv2D layer.
    """
    kernel: NDArray[np.float32] = convolutions(model)[0].kernel.numpy()
    return np.moveaxis(kernel, -1, 0)


def feature_maps(
    model: keras.Model, images: NDArray[Any], layers: Collection[str] | None = None
) -> dict[str, NDArray[np.float32]]:
    """What a convolutional layer makes of the images, after its activation, which may be a layer of its own.

    Args:
        model: functional, from raw pixels.
        images: (n, height, width, channels), raw pixels.
        layers: the names of Conv2D layers; all of them where it is None.

    Returns:
        Layer's name -> (n, filters, height, width) float32, from the pixels upwards.

    Raises:
        UserError: the model has no Conv2D layer.
    """
    looked_at = [layer for layer in convolutions(model) if layers is None or layer.name in layers]
    through = keras.Model(model.inputs[0], [features(model, layer).output for layer in looked_at])
    outputs = keras.tree.flatten(infer(through, images.astype(np.float32)))  # a lone output comes without its list
    return {
        layer.name: np.moveaxis(output.numpy().astype(np.float32), -1, 1)
        for layer, output in zip(looked_at, outputs, strict=True)
    }
