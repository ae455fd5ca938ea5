"""The `checkpoint:` section."""

from pydantic import Field

from harness.config.duration import Duration, Interval
from harness.config.section import Section
from harness.config.target import Ranked


class CheckpointSection(Section):
    every: Interval = Duration.parse("1 epoch")
    """How often the state is saved; also at the end."""
    keep: int = Field(default=3, ge=1)
    """How many of the newest checkpoints are kept, beside the best."""
    best: Ranked = Ranked()
    """By what the best checkpoint is chosen."""
