"""A length of training with its unit: `5 epochs`, `300 steps`, `20000 examples`, `10 minutes`, `20 %` of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, NamedTuple

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

SHARE = "%"
_OF_TRAINING = ("epochs", "steps", "examples")
UNITS = (*_OF_TRAINING, "minutes")
_PATTERN = re.compile(r"(\d{1,15}(?:\.\d{1,20})?)\s*([a-z]+|%)")


class Duration(NamedTuple):
    """A non-negative amount of one unit. Fractions are exact, so `0.1 epochs` ten times is one epoch."""

    amount: Fraction
    unit: str

    @classmethod
    def parse(cls, value: object, units: tuple[str, ...] = UNITS) -> "Duration":
        """Read `"5 epochs"`; a missing unit, or one that is not in `units`, is a ValueError that says which are."""
        if isinstance(value, Duration):
            value = str(value)
        match = _PATTERN.fullmatch(str(value).strip())
        if isinstance(value, str) and _PATTERN.fullmatch(value.strip().removeprefix("-")) and match is None:
            raise ValueError("must not be negative")
        if not isinstance(value, str) or match is None:
            raise ValueError(f"write a number and a unit, such as '5 {units[0]}' ({', '.join(units)})")
        amount, unit = match.groups()
        plural = unit if unit.endswith(("s", SHARE)) else unit + "s"
        if plural not in (*UNITS, SHARE):
            raise ValueError(f"'{unit}' is not a unit: use one of {', '.join(units)}")
        if plural not in units:
            raise ValueError(f"'{unit}' makes no sense here: use {_alternatives(units)}")
        return cls(Fraction(amount), plural)

    def __str__(self) -> str:
        number = Decimal(self.amount.numerator) / Decimal(self.amount.denominator)
        return f"{number:f} {self.unit.removesuffix('s') if self.amount == 1 else self.unit}"

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
        return _schema(cls.parse)  # by which the JSON schema writes defaults


def _schema(parse: Callable[[object], Duration]) -> CoreSchema:
    return core_schema.no_info_plain_validator_function(
        parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
    )


def _alternatives(units: tuple[str, ...]) -> str:
    return " or ".join(filter(None, [", ".join(units[:-1]), units[-1]]))


@dataclass(frozen=True)
class _In:
    """The units that a key of the config takes."""

    units: tuple[str, ...]
    may_be_zero: bool = False

    def parse(self, value: object) -> Duration:
        duration = Duration.parse(value, self.units)
        if not duration.amount and not self.may_be_zero:
            raise ValueError("must be more than zero")
        if duration.unit == SHARE and duration.amount >= 100:
            raise ValueError("must be less than 100 %")
        return duration

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _schema(self.parse)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        units = "|".join(unit if unit == SHARE else unit.removesuffix("s") + "s?" for unit in self.units)
        return {"type": "string", "pattern": rf"^\d+(\.\d+)?\s*({units})$"}


Interval = Annotated[Duration, _In(UNITS)]
"""A duration above zero, in any unit of time or training."""

TrainingInterval = Annotated[Duration, _In(_OF_TRAINING)]
"""A duration above zero in epochs, steps or examples."""

TrainingShare = Annotated[Duration, _In((*_OF_TRAINING, SHARE), may_be_zero=True)]
"""A duration of zero or more in epochs, steps or examples, or as a share of the training, below 100 %."""

Time = Annotated[Duration, _In(("minutes",))]
"""A duration above zero in minutes."""
