"""What training looks at: a value to reach, when to end early, which checkpoint is the best."""

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from harness.config.section import Section

ACCURACY, LOSS = "validation.accuracy", "validation.loss"


class Watched(Section):
    """A metric of the validation rows."""

    metric: str = ACCURACY
    """`validation.accuracy`, `validation.loss`, or `validation.` and a name in `metrics`."""

    def value(self, validation: Mapping[str, Any]) -> float:
        """Its value in a row of metrics.jsonl; NaN where it has none, or it was not finite."""
        value = validation.get(self.metric.removeprefix("validation."))
        return math.nan if value is None else float(value)


class Target(Watched):
    """A value that training is to reach."""

    at_least: float | None = None
    """Reached from here on: for the accuracy, and what is better the higher it is."""
    at_most: float | None = None
    """Reached from here down: for the loss, and what is better the lower it is."""

    @model_validator(mode="after")
    def _one_limit_that_fits(self) -> Self:
        if self.metric in (ACCURACY, LOSS):
            wanted, other = ("at_least", "at_most") if self.metric == ACCURACY else ("at_most", "at_least")
            if getattr(self, wanted) is None or getattr(self, other) is not None:
                raise ValueError(f"{self.metric} needs {wanted}, not {other}")
            if getattr(self, wanted) <= 0:
                raise ValueError(f"{wanted} must be more than 0 for {self.metric}, got {getattr(self, wanted)}")
        elif (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"{self.metric} needs at_least or at_most, not both")
        if self.metric == ACCURACY and self.at_least is not None and self.at_least > 1:
            raise ValueError(f"at_least must be 1 or less for {self.metric}, got {self.at_least}")
        return self

    def is_reached(self, validation: Mapping[str, Any]) -> bool:
        """Whether a result {"loss", "accuracy", …} on the validation rows reaches it."""
        value = self.value(validation)
        if self.at_least is not None:
            return value >= self.at_least
        assert self.at_most is not None
        return value <= self.at_most

    def __str__(self) -> str:
        return f"{self.metric} {f'≥ {self.at_least}' if self.at_least is not None else f'≤ {self.at_most}'}"


class Ranked(Watched):
    """A metric by which results are better or worse."""

    mode: Literal["max", "min"] | None = None
    """Whether the highest value is the best or the lowest; needed for other metrics than the accuracy and the loss."""

    @property
    def lacks_mode(self) -> bool:
        return self.mode is None and self.metric not in (ACCURACY, LOSS)

    @model_validator(mode="after")
    def _mode_that_fits(self) -> Self:
        if self.mode not in (None, {ACCURACY: "max", LOSS: "min"}.get(self.metric, self.mode)):
            raise ValueError(f"mode {self.mode} makes no sense for {self.metric}: leave it out")
        return self

    def is_better(self, value: float, other: float | None) -> bool:
        """Whether `value` is better than `other`, None being worse than all numbers and NaN no better than any."""
        if other is None:
            return not math.isnan(value)
        return value < other if self._is_better_low else value > other

    def score(self, validation: Mapping[str, Any] | None) -> float:
        """How good a result on the validation rows is, the higher the better; -inf where there is none."""
        value = self.value(validation or {})
        score = -value if self._is_better_low else value
        return -math.inf if math.isnan(score) else score

    @property
    def _is_better_low(self) -> bool:
        return self.mode == "min" or self.metric == LOSS


class EarlyStop(Ranked):
    """When no better result is to be expected."""

    metric: str = LOSS
    """`validation.accuracy`, `validation.loss`, or `validation.` and a name in `metrics`."""
    patience: int = Field(default=3, ge=1)
    """End at so many evaluations in a row without a better value than the best so far."""
