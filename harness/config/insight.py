"""The `insight:` section."""

from typing import Literal

from pydantic import Field

from harness.config.section import Section

Method = Literal[
    "gradient",
    "gradient_times_input",
    "smoothgrad",
    "integrated_gradients",
    "gradcam",
    "gradcam_plus_plus",
    "scorecam",
    "layercam",
    "guided_backpropagation",
]


class InsightSection(Section):
    images: int = Field(default=20, ge=1, le=200)
    """How many test images are explained: so many correct ones, and as many misclassified ones at the most."""
    methods: list[Method] = Field(default=["gradient", "smoothgrad", "gradcam"], min_length=1)
    """The kinds of saliency map; guided_backpropagation is a known-bad example."""
