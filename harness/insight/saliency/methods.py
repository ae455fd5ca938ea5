"""The methods by name, and what one has to know of each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.saliency.cams import ablationcam, gradcam, gradcam_plus_plus, layercam, scorecam
from harness.insight.saliency.chunks import Maps
from harness.insight.saliency.gradients import (
    contrast,
    gradient,
    gradient_times_input,
    guided_backpropagation,
    integrated_gradients,
    smoothgrad,
)
from harness.insight.saliency.guided import lacks_relu
from harness.insight.saliency.lrp import lrp, unsupported
from harness.insight.saliency.occlusion import occlusion
from harness.insight.saliency.rise import rise

Explain = Callable[[keras.Model, NDArray[Any], NDArray[Any]], Maps]
"""`(logits, images, labels) -> maps`: see the package."""


@dataclass(frozen=True)
class Method:
    """A way to make maps."""

    title: str
    explain: Callable[..., Maps]
    note: str
    """What a map of it shows, as the half of a sentence."""
    signed: bool = False
    of_a_layer: bool = False
    """Whether `explain` takes `layer`, the name of a layer with feature maps, too."""
    lacks: Callable[[keras.Model], str | None] = lambda model: None
    """Why a model can't be explained by it whatever the layer, such as "the model has no relu"; None where it can."""
    draws: bool = False
    """Whether `explain` draws at random, and takes `seed` too."""


METHODS = {
    "gradient": Method(
        "Gradient", gradient, "the gradient answers which pixels, changed a little, would move the logit most"
    ),
    "gradient_times_input": Method(
        "Gradient × input",
        gradient_times_input,
        "gradient × input shares the logit out as if the model were linear, and gives black pixels nothing",
        signed=True,
    ),
    "smoothgrad": Method(
        "SmoothGrad",
        smoothgrad,
        "SmoothGrad is the mean of the gradient over noisy copies of the image, which is calmer",
        draws=True,
    ),
    "integrated_gradients": Method(
        "Integrated",
        integrated_gradients,
        "integrated gradients share out what the logit gains on the way from black, and give black pixels nothing",
        signed=True,
    ),
    "contrast": Method(
        "Contrast",
        contrast,
        "contrast shares out what sets the class apart from its strongest rival: red speaks for it, blue for the rival",
        signed=True,
    ),
    "lrp": Method(
        "LRP",
        lrp,
        "LRP hands the logit down from layer to layer, to each input by what it contributed",
        signed=True,
        lacks=unsupported,
    ),
    "occlusion": Method(
        "Occlusion",
        occlusion,
        "occlusion shows by how much the logit falls where a black window hides the pixel",
        signed=True,
    ),
    "rise": Method(
        "RISE",
        rise,
        "RISE is the class's mean probability over random masks that let the pixel through",
        draws=True,
    ),
    "gradcam": Method(
        "Grad-CAM",
        gradcam,
        "Grad-CAM shows where the last feature maps speak for the class, coarsely",
        of_a_layer=True,
    ),
    "gradcam_plus_plus": Method(
        "Grad-CAM++",
        gradcam_plus_plus,
        "Grad-CAM++ weighs these features by where they speak for it alone",
        of_a_layer=True,
    ),
    "scorecam": Method(
        "Score-CAM",
        scorecam,
        "Score-CAM weighs them by the probability that the image gets where only they are seen",
        of_a_layer=True,
    ),
    "layercam": Method("LayerCAM", layercam, "LayerCAM weighs them position by position", of_a_layer=True),
    "ablationcam": Method(
        "Ablation-CAM",
        ablationcam,
        "Ablation-CAM weighs them by what the logit loses without each",
        of_a_layer=True,
    ),
    "guided_backpropagation": Method(
        "Guided backprop",
        guided_backpropagation,
        "guided backpropagation redraws the image's edges, whatever the model has learnt: not to be believed",
        lacks=lacks_relu,
    ),
}
"""By the names of the config key `insight.methods`."""


def bound(name: str, layer: str | None = None) -> Explain:
    """The method of that name; one that looks at a layer at `layer`, else at the one that `layers.cam_layer` takes."""
    method = METHODS[name]
    return partial(method.explain, layer=layer) if method.of_a_layer else method.explain


def in_parts(method: Explain, at_a_time: int, logits: keras.Model, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """The method's maps of images (n, height, width, channels) and labels (n,).

    Always as many at a time, the last image again and again: for another number the method would be compiled anew.
    """
    maps = np.zeros(images.shape[:3], np.float32)
    for first in range(0, len(images), at_a_time):
        rows = np.minimum(np.arange(first, first + at_a_time), len(images) - 1)
        maps[rows] = method(logits, images[rows], labels[rows])
    return maps
