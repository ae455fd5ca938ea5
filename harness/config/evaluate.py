"""The `evaluate:` section."""

from pydantic import Field

from harness.config.duration import Duration, TrainingInterval
from harness.config.section import Section


class EvaluateSection(Section):
    every: TrainingInterval = Duration.parse("1 epoch")
    """How often the validation rows are evaluated; also at the end."""
    batch: int = Field(default=250, ge=1, le=2**24)
    """Examples evaluated at a time over all replicas; it changes speed and memory, not the result."""
