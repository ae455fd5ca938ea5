"""The `loss:` section: its `name` decides which further keys there are."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from harness.config.section import OWN, OwnObject, Section, tag_of

ClassWeights = Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=2)] | None


class CrossEntropy(Section):
    """The default: the loss of a model with a logit for each class."""

    name: Literal["cross_entropy"] = "cross_entropy"
    """Softmax cross-entropy."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target spread evenly over all classes, in training alone."""
    class_weights: ClassWeights = None
    """One weight a class, by which the losses of its examples are multiplied; null for 1 each."""


class Focal(Section):
    """A loss for data with many easy examples and few hard ones."""

    name: Literal["focal"]
    """Focal loss (Lin et al. 2017, arXiv 1708.02002): cross-entropy times (1 - p)^gamma, p being the label's
    probability."""
    gamma: float = Field(default=2.0, ge=0)
    """How strongly examples that are easy already count less; with 0 it is cross-entropy."""
    class_weights: ClassWeights = None
    """One weight a class, by which the losses of its examples are multiplied; null for 1 each."""


class Binary(Section):
    """A loss for two classes, where the model has one logit: of class 1."""

    name: Literal["binary"]
    """Sigmoid cross-entropy of one logit, for two classes."""


class OwnLoss(OwnObject):
    """A function (logits, labels, **keywords) → the loss of each example."""


LossSection = Annotated[
    Annotated[CrossEntropy, Tag("cross_entropy")]
    | Annotated[Focal, Tag("focal")]
    | Annotated[Binary, Tag("binary")]
    | Annotated[OwnLoss, Tag(OWN)],
    Discriminator(lambda section: tag_of(section, "cross_entropy")),
]


def logits_for(section: LossSection, classes: int) -> int:
    """How many logits a model has for the loss."""
    return 1 if section.name == "binary" else classes


def smoothing_of(section: LossSection) -> float:
    """The label smoothing in the training loss, which can't be compared with a loss without."""
    return section.label_smoothing if isinstance(section, CrossEntropy) else 0.0
