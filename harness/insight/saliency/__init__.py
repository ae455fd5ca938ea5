"""Saliency maps: how much each pixel matters to one logit.

Every method has the form `method(logits, images, labels) -> maps`:

    logits  the model, images -> logits (n, classes); a functional one where tf-keras-vis does the work
    images  (n, height, width, channels), any real dtype, in the units the model takes (raw pixels)
    labels  (n,), integers: the logit to explain, image by image
    maps    (n, height, width) float32, not normalised; signed only where METHODS says so

and raises `UserError` where the labels do not fit the images, or either the model. An image's map does not depend on
the images beside it.
"""

from harness.insight.saliency.cams import ablationcam, cam_cells, gradcam, gradcam_plus_plus, layercam, scorecam
from harness.insight.saliency.chunks import Logits, Maps
from harness.insight.saliency.gradients import (
    contrast,
    gradient,
    gradient_times_input,
    guided_backpropagation,
    integrated_gradients,
    smoothgrad,
)
from harness.insight.saliency.grid import CamGrid, cam_grid
from harness.insight.saliency.lrp import lrp
from harness.insight.saliency.methods import METHODS, Explain, Method, Views, bound, in_parts, views
from harness.insight.saliency.perturbation import occlusion, rise

__all__ = [
    "METHODS",
    "CamGrid",
    "Explain",
    "Logits",
    "Maps",
    "Method",
    "Views",
    "ablationcam",
    "bound",
    "cam_cells",
    "cam_grid",
    "contrast",
    "gradcam",
    "gradcam_plus_plus",
    "gradient",
    "gradient_times_input",
    "guided_backpropagation",
    "in_parts",
    "integrated_gradients",
    "layercam",
    "lrp",
    "occlusion",
    "rise",
    "scorecam",
    "smoothgrad",
    "views",
]
