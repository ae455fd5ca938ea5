"""The `schedule:` section."""

from typing import Literal

from harness.config.duration import Duration, TrainingShare
from harness.config.section import Section


class ScheduleSection(Section):
    name: Literal["constant", "linear", "cosine"] = "linear"
    """What the learning rate does after warm-up: stay, or fall to zero at the end of training."""
    warmup: TrainingShare = Duration.parse("20 %", ("%",))
    """How long the learning rate rises linearly from zero first: a share of `train.length`, or a length of its own."""
