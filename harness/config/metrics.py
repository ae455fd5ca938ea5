"""The `metrics:` section: what is measured beside loss and accuracy, each under a name of the user's."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from harness.config.section import OWN, OwnObject, Section, tag_of

_TAKEN = {
    *("step", "split", "loss", "accuracy", "examples"),
    *("learning_rate", "gradient_norm", "images_per_second", "step_seconds", "loss_scale"),
}
"""What rows of metrics.jsonl hold already."""


class TopK(Section):
    """For many classes, some of them hard to tell apart: `{name: top_k, k: 5}`."""

    name: Literal["top_k"]
    """Whether the label is among the classes with the largest logits."""
    k: int = Field(default=5, ge=1)
    """So many of them."""


class NegativeLogLikelihood(Section):
    """How well the probabilities fit, as a number that runs with different losses have in common."""

    name: Literal["negative_log_likelihood"]
    """Minus the logarithm of the label's probability, whatever the loss is."""


class Brier(Section):
    """How well the probabilities fit, from 0 for sure and right to 2 for sure and wrong."""

    name: Literal["brier"]
    """Squared distance of the probabilities from the label's one-hot vector (Brier 1950, Monthly Weather Review 78)."""


class OwnMetric(OwnObject):
    """A function (logits, labels, **keywords) → a number for each example, the metric being their mean."""


MetricSection = Annotated[
    Annotated[TopK, Tag("top_k")]
    | Annotated[NegativeLogLikelihood, Tag("negative_log_likelihood")]
    | Annotated[Brier, Tag("brier")]
    | Annotated[OwnMetric, Tag(OWN)],
    Discriminator(tag_of),
]


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", name):
        raise ValueError("a metric's name is up to 40 letters, digits and '_', beginning with a letter")
    if name in _TAKEN:
        raise ValueError("every run has a value of that name already: choose another")
    return name


MetricsSection = dict[Annotated[str, AfterValidator(_name)], MetricSection]
