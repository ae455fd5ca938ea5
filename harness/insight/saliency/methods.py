"""The methods by name, and what one has to know of each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.saliency.cams import ablationcam, cam_cells, gradcam, gradcam_plus_plus, layercam, scorecam
from harness.insight.saliency.chunks import Maps
from harness.insight.saliency.gradients import (
    contrast,
    gradient,
    gradient_times_input,
    guided_backpropagation,
    integrated_gradients,
    smoothgrad,
)
from harness.insight.saliency.grid import cam_grid
from harness.insight.saliency.guided import lacks_relu
from harness.insight.saliency.lrp import lrp, unsupported
from harness.insight.saliency.perturbation import occlusion, rise

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
    of_two_classes: bool = False
    """Whether a map sets the class against its strongest rival, whose map is then the same with the signs turned."""


METHODS = {
    "gradient": Method(
        "Gradient", gradient, "the gradient shows which pixels would change the logit most if they changed a little"
    ),
    "gradient_times_input": Method(
        "Gradient × input",
        gradient_times_input,
        "gradient × input divides the logit among the pixels as if the model were linear; black pixels get nothing",
        signed=True,
    ),
    "smoothgrad": Method(
        "SmoothGrad",
        smoothgrad,
        "SmoothGrad averages the gradient over noisy copies of the image, which makes it less noisy",
        draws=True,
    ),
    "integrated_gradients": Method(
        "Integrated",
        integrated_gradients,
        "integrated gradients divide what the logit gains on the way from a black image; black pixels get nothing",
        signed=True,
    ),
    "contrast": Method(
        "Contrast",
        contrast,
        "contrast shows what separates the class from its strongest rival: red favours the class, blue the rival",
        signed=True,
        of_two_classes=True,
    ),
    "lrp": Method(
        "LRP",
        lrp,
        "LRP passes the logit back layer by layer, to each input in proportion to its contribution",
        signed=True,
        lacks=unsupported,
    ),
    "occlusion": Method(
        "Occlusion",
        occlusion,
        "occlusion shows how much the logit drops when a black window covers the pixel",
        signed=True,
    ),
    "rise": Method(
        "RISE",
        rise,
        "RISE is the mean probability of the class over random masks that leave the pixel visible",
        draws=True,
    ),
    "gradcam": Method(
        "Grad-CAM",
        gradcam,
        "Grad-CAM shows coarsely where the last feature maps support the class",
        of_a_layer=True,
    ),
    "gradcam_plus_plus": Method(
        "Grad-CAM++",
        gradcam_plus_plus,
        "Grad-CAM++ weights the feature maps by only those positions that support the class",
        of_a_layer=True,
    ),
    "scorecam": Method(
        "Score-CAM",
        scorecam,
        "Score-CAM weights the feature maps by the probability of the class when only what they highlight is visible",
        of_a_layer=True,
    ),
    "layercam": Method("LayerCAM", layercam, "LayerCAM weights the feature maps position by position", of_a_layer=True),
    "ablationcam": Method(
        "Ablation-CAM",
        ablationcam,
        "Ablation-CAM weights the feature maps by how much the logit drops without each of them",
        of_a_layer=True,
    ),
    "guided_backpropagation": Method(
        "Guided backprop",
        guided_backpropagation,
        "guided backpropagation redraws the edges of the image whatever the model has learnt: don't trust it",
        lacks=lacks_relu,
    ),
}
"""By the names of the config key `insight.methods`."""


def bound(name: str, layer: str | None = None) -> Explain:
    """The method of that name; one that looks at a layer at `layer`, else at the one that `layers.cam_layer` takes."""
    return Cam(name, layer) if METHODS[name].of_a_layer else METHODS[name].explain


@dataclass(frozen=True)
class Cam:
    """A CAM method at a layer, in the form of all methods."""

    name: str
    layer: str | None = None

    def __call__(self, logits: keras.Model, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
        return METHODS[self.name].explain(logits, images, labels, layer=self.layer)

    def views(self, logits: keras.Model, images: NDArray[Any], labels: NDArray[Any]) -> "Views":
        cells, grid = cam_cells(self.name, logits, images, labels, layer=self.layer), cam_grid(logits, self.layer)
        return Views(_finite(grid.on_pixels(cells)), _finite(grid.reached(cells)))


class Views(NamedTuple):
    """Maps as they are shown, and as they are compared."""

    on_pixels: Maps
    """(n, height, width)"""
    compared: Maps
    """(n, rows, columns), of a CAM the cells that the output can depend on, else the pixels. A few cells stretched to
    all pixels, with a zero where none is seen, have much of their ranks in common whatever the cells say."""


def views(method: Explain, logits: keras.Model, images: NDArray[Any], labels: NDArray[Any]) -> Views:
    """Explain images (n, height, width, channels) and labels (n,), for a comparison of the maps."""
    if isinstance(method, Cam):
        return method.views(logits, images, labels)
    maps = _finite(method(logits, images, labels))
    return Views(maps, maps)


def in_parts(method: Explain, at_a_time: int, logits: keras.Model, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """The method's maps of images (n, height, width, channels) and labels (n,).

    Always as many at a time, the last image again and again: for another number the method would be compiled anew.
    """
    maps = np.zeros(images.shape[:3], np.float32)
    for first in range(0, len(images), at_a_time):
        rows = np.minimum(np.arange(first, first + at_a_time), len(images) - 1)
        maps[rows] = method(logits, images[rows], labels[rows])
    return _finite(maps)


def _finite(maps: Maps) -> Maps:
    """With 0 for what is not finite: where a gradient is no number, a map says nothing."""
    return np.where(np.isfinite(maps), maps, np.float32(0))
