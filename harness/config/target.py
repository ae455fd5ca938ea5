"""A value of a metric that training is to reach."""

from typing import Literal, Self

from pydantic import Field, model_validator

from harness.config.section import Section


class Target(Section):
    metric: Literal["validation.accuracy", "validation.loss"] = "validation.accuracy"
    """What is looked at, at each evaluation."""
    at_least: float | None = Field(default=None, gt=0, le=1)
    """For the accuracy: reached from here on."""
    at_most: float | None = Field(default=None, gt=0)
    """For the loss: reached from here down."""

    @model_validator(mode="after")
    def _one_limit_that_fits(self) -> Self:
        wanted, other = ("at_least", "at_most") if self.metric == "validation.accuracy" else ("at_most", "at_least")
        if getattr(self, wanted) is None or getattr(self, other) is not None:
            raise ValueError(f"{self.metric} needs {wanted}, and no {other}")
        return self

    def is_reached(self, validation: dict[str, float]) -> bool:
        """Whether a result {"loss", "accuracy", …} on the validation rows reaches it."""
        if self.at_least is not None:
            return validation["accuracy"] >= self.at_least
        assert self.at_most is not None
        return validation["loss"] <= self.at_most

    def __str__(self) -> str:
        return f"{self.metric} {f'≥ {self.at_least}' if self.at_least is not None else f'≤ {self.at_most}'}"
