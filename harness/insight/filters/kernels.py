"""The weights of the first convolutional layer, which are small pictures themselves."""

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.layers import convolutions


def first_kernels(model: keras.Model) -> NDArray[np.float32]:
    """The kernels of the first convolutional layer: (filters, height, width, channels) float32, signed.

    Raises:
        UserError: the model has no Conv2D layer.
    """
    kernel: NDArray[np.float32] = convolutions(model)[0].kernel.numpy()
    return np.moveaxis(kernel, -1, 0)
