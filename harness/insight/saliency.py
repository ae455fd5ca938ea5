"""Saliency maps: how much each pixel matters to one logit.

Every method has the form `method(logits, images, labels) -> maps`:

    logits  the model, images -> logits (n, classes); a functional one where tf-keras-vis does the work
    images  (n, height, width, channels), any real dtype, in the units the model takes (raw pixels)
    labels  (n,), integers: the logit to explain, image by image
    maps    (n, height, width) float32, not normalised; signed only where METHODS says so

and raises `UserError` where the labels do not fit the images. An image's map does not depend on the images
beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from numpy.typing import NDArray

from harness.insight.cams import gradcam, gradcam_plus_plus, layercam, scorecam
from harness.insight.chunks import Maps
from harness.insight.gradients import (
    gradient,
    gradient_times_input,
    guided_backpropagation,
    integrated_gradients,
    smoothgrad,
)


@dataclass(frozen=True)
class Method:
    """A way to make maps."""

    title: str
    explain: Callable[[keras.Model, NDArray[Any], NDArray[Any]], Maps]
    note: str
    """What a map of it shows, as the half of a sentence."""
    signed: bool = False


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
    ),
    "integrated_gradients": Method(
        "Integrated",
        integrated_gradients,
        "integrated gradients share out what the logit gains on the way from black, and give black pixels nothing",
        signed=True,
    ),
    "gradcam": Method(
        "Grad-CAM",
        gradcam,
        "Grad-CAM shows where the last convolutional layer's features speak for the class, coarsely",
    ),
    "gradcam_plus_plus": Method(
        "Grad-CAM++", gradcam_plus_plus, "Grad-CAM++ weighs these features by where they speak for it alone"
    ),
    "scorecam": Method(
        "Score-CAM", scorecam, "Score-CAM weighs them by the probability that the image gets where only they are seen"
    ),
    "layercam": Method("LayerCAM", layercam, "LayerCAM weighs them position by position"),
    "guided_backpropagation": Method(
        "Guided backprop",
        guided_backpropagation,
        "guided backpropagation redraws the image's edges, whatever the model has learnt: not to be believed",
    ),
}
"""By the names of the config key `insight.methods`."""
