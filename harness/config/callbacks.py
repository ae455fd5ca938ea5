"""What happens between steps: `evaluate:`, `checkpoint:`, `tensorboard:`, and an entry of `callbacks:`, which
is one of the user's own or a mirror in a tracker."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from harness.config.duration import Duration, Interval, TrainingInterval
from harness.config.section import OWN, OwnObject, Section, tag_of
from harness.config.target import Ranked


class EvaluateSection(Section):
    """Evaluation on the validation rows while the model is trained, and on the test rows at the end."""

    every: TrainingInterval = Duration.parse("1 epoch")
    """How often the validation rows are evaluated; also at the end."""
    batch: int = Field(default=250, ge=1, le=2**24)
    """Examples evaluated at a time over all replicas; it changes speed and memory, not the result."""


class CheckpointSection(Section):
    """The checkpoints, from which a run is resumed."""

    every: Interval = Duration.parse("1 epoch")
    """How often the state is saved; also at the end."""
    keep: int = Field(default=3, ge=1)
    """How many of the newest checkpoints are kept, beside the best."""
    best: Ranked = Ranked()
    """By what the best checkpoint is chosen."""


class TensorBoardSection(Section):
    """What TensorBoard gets beside the curves."""

    histograms: TrainingInterval | None = None
    """How often histograms of the weights are written; null for never."""
    images: int = Field(default=16, ge=0)
    """How many training images are shown with their labels."""


def _is_path(name: str) -> str:
    if ":" not in name:
        raise ValueError("must be an import path such as my_package.callbacks:Norms")
    return name


class CallbackSection(OwnObject):
    """A callback of the user's own: see docs/extending.md."""

    name: Annotated[str, AfterValidator(_is_path)]
    """The import path of a subclass of harness.Callback, with its arguments as further keys, or of a function (step,
    state, rows)."""
    every: TrainingInterval | None = None
    """How often it is called; null for as often as it says itself, else every epoch."""


class MLflowSection(Section):
    """A copy of what the run measures in MLflow; it needs the extra `mlflow`."""

    name: Literal["mlflow"]
    """metrics.jsonl in MLflow."""
    experiment: str = Field(default="harness", min_length=1)
    """The experiment that the run is of; made where there is none of that name."""
    tracking_uri: str | None = None
    """Where it is tracked, such as http://host:5000 or sqlite:///mlflow.db; null for what MLflow itself is set to, by
    MLFLOW_TRACKING_URI."""


class WandBSection(Section):
    """A copy of what the run measures in Weights & Biases; it needs the extra `wandb`."""

    name: Literal["wandb"]
    """metrics.jsonl in Weights & Biases."""
    project: str = Field(default="harness", min_length=1)
    """The project that the run is of."""
    mode: Literal["online", "offline"] = "online"
    """offline: into the run's directory, for `wandb sync`."""


TrackerSection = MLflowSection | WandBSection

AnyCallbackSection = Annotated[
    Annotated[MLflowSection, Tag("mlflow")]
    | Annotated[WandBSection, Tag("wandb")]
    | Annotated[CallbackSection, Tag(OWN)],
    Discriminator(tag_of),
]
