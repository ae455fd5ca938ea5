"""How much computing a map takes, counted from what the methods do: the same on every machine."""

import keras

from harness.insight.layers import cam_layer, image_shape
from harness.insight.saliency.occlusion import windows
from harness.insight.work import BACKWARD, work

_GRADIENTS = {"smoothgrad": 50, "integrated_gradients": 200, "contrast": 200}
"""One for a method that isn't named anywhere here. Integrated gradients take 100 steps, and more for an image whose map
does not add up; over all maps of a look they took 100 a map on MNIST, 140 for a ResNet on CIFAR-10 and 340 on
Fashion-MNIST."""
_MASKS = 1000
_LRP = 9.0
"""A forward pass, then each convolution four times and four times back."""


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
