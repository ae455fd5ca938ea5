"""The `optimizer:` section: its `name` decides which further keys there are."""

from typing import Annotated, Literal

from pydantic import Field

from harness.config.section import Section

LearningRate = Annotated[float, Field(gt=0)]


class Adam(Section):
    name: Literal["adam"] = "adam"
    """Adam (Kingma, Ba 2015, arXiv 1412.6980)."""
    learning_rate: LearningRate = 0.003
    """The peak, reached after warm-up."""


class AdamW(Section):
    name: Literal["adamw"] = "adamw"
    """Adam with decoupled weight decay (Loshchilov, Hutter 2019, arXiv 1711.05101)."""
    learning_rate: LearningRate = 0.003
    """The peak, reached after warm-up."""
    weight_decay: float = Field(default=0.004, ge=0)
    """Decoupled weight decay, multiplied by the learning rate of the step."""


class SGD(Section):
    name: Literal["sgd"] = "sgd"
    """Stochastic gradient descent with momentum."""
    learning_rate: LearningRate = 0.1
    """The peak, reached after warm-up."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Share of the last update that is kept; 0 for none."""


OptimizerSection = Annotated[Adam | AdamW | SGD, Field(discriminator="name")]
