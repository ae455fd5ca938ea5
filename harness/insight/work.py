"""How much computing a model takes, counted from its layers: the same on every machine."""

import keras
import numpy as np

SPEED = 2e10
"""Work a second. Two cores of an AMD EPYC do 2.5e10 to 4e10 in a convolutional network whose images are not tiny."""
BACKWARD = 3
"""A forward pass with the gradient of the pixels takes at most so many times the work of a forward pass."""
_PER_VALUE = 10
"""Of work for each value that an operation gives, for it is written and read: what batch normalization, an activation
or a depthwise convolution costs, which multiply little."""


def work(model: keras.Model) -> float:
    """Multiplications of one image's forward pass, and ten for each value that it passes on.

    Args:
        model: functional, of images of a fixed size.
    """
    return sum(_work(operation) for operation in model.operations)


def _work(operation: keras.Operation) -> float:
    outputs = keras.tree.flatten(operation.output)
    values = sum(int(np.prod(tensor.shape[1:])) for tensor in outputs)
    kernels = [weight for weight in getattr(operation, "weights", []) if len(weight.shape) > 1]
    positions = int(np.prod(outputs[0].shape[1:-1]))  # of a convolution; one of a dense layer
    return float(_PER_VALUE * values + positions * sum(int(np.prod(kernel.shape)) for kernel in kernels))
