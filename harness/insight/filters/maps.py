"""What the filters make of an image."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.inference import infer
from harness.insight.layers import convolutions, features


def feature_maps(model: keras.Model, images: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
    """What each convolutional layer makes of the images, after its activation, which may be a layer of its own.

    Args:
        model: functional, from raw pixels.
        images: (n, height, width, channels), raw pixels.

    Returns:
        Layer's name -> (n, filters, height, width) float32, from the pixels upwards.

    Raises:
        UserError: the model has no Conv2D layer.
    """
    layers = convolutions(model)
    through = keras.Model(model.inputs[0], [features(model, layer).output for layer in layers])
    outputs = keras.tree.flatten(infer(through, images.astype(np.float32)))  # a lone output comes without its list
    return {
        layer.name: np.moveaxis(output.numpy().astype(np.float32), -1, 1)
        for layer, output in zip(layers, outputs, strict=True)
    }
