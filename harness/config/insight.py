"""The `insight:` section."""

from typing import Literal

from pydantic import Field

from harness.config.duration import Duration, Time, TrainingInterval
from harness.config.section import Section

Method = Literal[
    "gradient",
    "gradient_times_input",
    "smoothgrad",
    "integrated_gradients",
    "contrast",
    "lrp",
    "occlusion",
    "rise",
    "gradcam",
    "gradcam_plus_plus",
    "scorecam",
    "layercam",
    "ablationcam",
    "guided_backpropagation",
]


class InsightSection(Section):
    """What is found out about the trained model: saliency maps, their checks, and what its filters and classes respond
    to."""

    images: int = Field(default=20, ge=1, le=200)
    """How many test images of each kind are explained: correct ones, evenly over the classes; the most confident
    mistakes; the least sure."""
    methods: list[Method] = Field(default=["lrp", "occlusion", "gradient"])
    """The kinds of saliency map, [] for none; guided_backpropagation is a known-bad example."""
    layer: str | None = None
    """The layer, or named operation, whose feature maps the CAM methods weigh; where it is null, the one that gives the
    last before they are pooled or flattened."""
    every: TrainingInterval | None = None
    """How often, while it trains, TensorBoard gets the maps of a few validation images; null for never."""
    metrics: bool = False
    """Whether the published metrics, ROAD, infidelity, max-sensitivity, sMPRT and F-Fidelity, are taken as well, of 16
    images and into insight.json; it takes minutes, which count towards the budget."""
    filters: bool = True
    """Whether the filters are looked into as well."""
    budget: Time = Duration.parse("2 minutes")
    """About how long two cores may be at the maps with their checks, and as long again at the filters. Of a model too
    large for that fewer images, layers and filters are looked at, and the page says how many. The numbers are worked
    out from the model's size and are the same on any machine; only where the filters run out of time all the same are
    layers left out, and the page says that too."""
