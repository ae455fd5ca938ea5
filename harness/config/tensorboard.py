"""The `tensorboard:` section."""

from pydantic import Field

from harness.config.duration import TrainingInterval
from harness.config.section import Section


class TensorBoardSection(Section):
    histograms: TrainingInterval | None = None
    """How often histograms of the weights are written; null for never."""
    images: int = Field(default=16, ge=0)
    """How many training images are shown with their labels."""
