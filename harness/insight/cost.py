"""How much computing a model and a map take, counted from layers and methods: the same on every machine."""

import keras
import numpy as np

from harness.insight.layers import cam_layer, image_shape
from harness.insight.saliency.perturbation import windows

SPEED = 2e10
"""Work a second. Two cores of an AMD EPYC do 2.5e10 to 4e10 in a convolutional network whose images are not tiny."""
BACKWARD = 3
"""A forward pass with the gradient of the pixels takes at most so many times the work of a forward pass."""
_PER_VALUE = 10
"""Of work for each value that an operation gives, for it is written and read: what batch normalization, an activation
or a depthwise convolution costs, which multiply little."""
_GRADIENTS = {"smoothgrad": 50, "integrated_gradients": 200, "contrast": 200}
"""One for a method that isn't named anywhere here. Integrated gradients take 100 steps, and more for an image whose map
does not add up; over all maps of a report they took 100 a map on MNIST, 140 for a ResNet on CIFAR-10 and 340 on
Fashion-MNIST."""
_MASKS = 1000
_LRP = 9.0
"""A forward pass, then each convolution four times and four times back."""


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


def passes(logits: keras.Model, name: str, layer: str | None = None) -> float:
    """What one image's map by a method, by its name in METHODS, takes in forward passes of the model, at most: a pass
    with its gradient counts as `BACKWARD` of them, also where a CAM goes back only to a layer.

    Args:
        layer: the one that a CAM looks at, as `layers.cam_layer` takes it.
    """
    if name == "lrp":
        return _LRP
    if name == "occlusion":
        return 1.0 + len(windows(*image_shape(logits)[:2]))
    if name == "rise":
        return float(_MASKS)
    if name not in ("scorecam", "ablationcam"):
        return float(BACKWARD * _GRADIENTS.get(name, 1))
    features = cam_layer(logits, layer).output
    share = 1.0
    if name == "ablationcam":  # starts from the layer
        share = work(keras.Model([logits.inputs[0], features], logits.outputs[0])) / work(logits)
    return 1 + int(features.shape[-1]) * share
