"""What is trained, on what, and when things happen."""

from dataclasses import dataclass

from harness.config import Config
from harness.data.sources import DataSet, Split
from harness.training.events import Events


@dataclass(frozen=True)
class Setup:
    """A config that has met its data."""

    config: Config
    data: DataSet
    train: Split
    validation: Split
    test: Split
    events: Events
