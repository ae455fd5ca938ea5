"""A length of training with its unit: `5 epochs`, `300 steps`, `20000 examples`, `10 minutes`."""

import re
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

UNITS = ("epochs", "steps", "examples", "minutes")
_PATTERN = re.compile(r"(\d{1,15}(?:\.\d{1,20})?)\s*([a-z]+)")


class Duration(NamedTuple):
    """A non-negative amount of one unit. Fractions are exact, so `0.1 epochs` ten times is one epoch."""

    amount: Fraction
    unit: str

    @classmethod
    def parse(cls, value: object) -> "Duration":
        """Read `"5 epochs"`; a missing or unknown unit is a ValueError that says which units there are."""
        if isinstance(value, Duration):
            return value
        match = _PATTERN.fullmatch(str(value).strip())
        if not isinstance(value, str) or match is None:
            raise ValueError(f"write a number and a unit, such as '5 epochs' ({', '.join(UNITS)})")
        amount, unit = match.groups()
        plural = unit if unit.endswith("s") else unit + "s"
        if plural not in UNITS:
            raise ValueError(f"'{unit}' is no unit: use one of {', '.join(UNITS)}")
        return cls(Fraction(amount), plural)

    def __str__(self) -> str:
        number = Decimal(self.amount.numerator) / Decimal(self.amount.denominator)
        return f"{number:f} {self.unit}"

    def examples(self, epoch_examples: int, global_batch: int) -> Fraction:
        """The duration in training examples, for a training set of `epoch_examples` rows."""
        per_unit = {"epochs": epoch_examples, "steps": global_batch, "examples": 1}
        return self.amount * per_unit[self.unit]

    @property
    def seconds(self) -> float:
        """The duration in seconds; only for durations in minutes."""
        assert self.unit == "minutes", self
        return float(self.amount * 60)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^\d+(\.\d+)?\s*(epoch|step|example|minute)s?$"}


def _positive(duration: Duration) -> Duration:
    if duration.amount <= 0:
        raise ValueError("must be more than zero")
    return duration


def _not_in_minutes(duration: Duration) -> Duration:
    if duration.unit == "minutes":
        raise ValueError("minutes make no sense here: use epochs, steps or examples")
    return duration


def _in_minutes(duration: Duration) -> Duration:
    if duration.unit != "minutes":
        raise ValueError("must be a time, in minutes")
    return duration


Interval = Annotated[Duration, AfterValidator(_positive)]
"""A duration above zero, in any unit."""

TrainingInterval = Annotated[Duration, AfterValidator(_positive), AfterValidator(_not_in_minutes)]
"""A duration above zero in epochs, steps or examples."""

TrainingLength = Annotated[Duration, AfterValidator(_not_in_minutes)]
"""A duration of zero or more in epochs, steps or examples."""

Time = Annotated[Duration, AfterValidator(_positive), AfterValidator(_in_minutes)]
"""A duration above zero in minutes."""
