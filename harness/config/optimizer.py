"""The `optimizer:` section: its `name` decides which further keys there are."""

from typing import Annotated, Literal

from pydantic import Field

from harness.config.section import Section

LearningRate = Annotated[float, Field(gt=0)]


class Adam(Section):
    name: Literal["adam"] = "adam"
    learning_rate: LearningRate = 0.003
    """The peak, reached after warm-up."""


class AdamW(Section):
    name: Literal["adamw"] = "adamw"
    learning_rate: LearningRate = 0.003
    """The peak, reached after warm-up."""
    weight_decay: float = Field(default=0.004, ge=0)
    """Decoupled weight decay, multiplied by the learning rate of the step."""


class SGD(Section):
    name: Literal["sgd"] = "sgd"
    learning_rate: LearningRate = 0.1
    """The peak, reached after warm-up."""
    momentum: float = Field(default=0.9, ge=0, lt=1)


OptimizerSection = Annotated[Adam | AdamW | SGD, Field(discriminator="name")]
