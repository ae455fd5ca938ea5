"""The `insight:` section."""

from typing import Annotated, Literal

from pydantic import Field

from harness.config.section import Section

Method = Literal["gradient", "smoothgrad", "gradcam"]


class InsightSection(Section):
    images: int = Field(default=20, ge=1, le=200)
    """How many test images are explained: so many correct ones, and as many misclassified ones at the most."""
    methods: Annotated[list[Method], Field(min_length=1)] = ["gradient", "smoothgrad", "gradcam"]
