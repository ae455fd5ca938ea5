"""What the sections of the config have in common."""

import difflib
import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    """Typed, strict and frozen: no unknown key, no silent conversion, no NaN, no infinity."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def _both_sides(size: Any) -> Any:
    sides = size if isinstance(size, list) else [size, size]
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise ValueError("must be one number above 0, or [height, width]")
    return sides


Size = Annotated[list[int], BeforeValidator(_both_sides, json_schema_input_type=int | list[int])]
"""Height and width in pixels; one number is both."""


class OpenSection(Section):
    """One that may name something of the user's own by its import path, and then has its arguments as further keys."""

    model_config = ConfigDict(extra="allow")

    @property
    def arguments(self) -> dict[str, Any]:
        """The further keys."""
        return dict(self.model_extra or {})


OWN = "package.module:name"
"""How an object of the user's own is named."""


class OwnObject(OpenSection):
    """An object of the user's own by its import path, with the keyword arguments that it is called with."""

    name: str = Field(json_schema_extra={"pattern": ":"})
    """Where it is imported from: `package.module:name`."""


def tag_of(section: Any, default: str | None = None) -> str | None:
    """Which of several sections it is, by its name: OWN for an import path, `default` where it has none."""
    given = section if isinstance(section, dict) else {"name": section.name} if hasattr(section, "name") else {}
    if "name" not in given:
        return default
    return OWN if ":" in str(given["name"]) else str(given["name"])


def did_you_mean(given: str, names: Iterable[str]) -> str:
    """A hint for a message, where one of `names`, or its last part, is close to what was given."""
    alike = [name for name in names if re.sub(r"\D", "", name) == re.sub(r"\D", "", given)]  # float16 isn't float64
    ends = [name.rpartition(".")[2] for name in alike]
    # One of several that end so, or whose end holds it, would be a guess.
    clear = [name for name, end in zip(alike, ends, strict=True) if sum(end in other for other in ends) == 1]
    by_end = {name.rpartition(".")[2]: name for name in clear}
    close = difflib.get_close_matches(given, by_end, n=1, cutoff=0.8) or difflib.get_close_matches(given, alike, n=1)
    return f"; did you mean '{by_end.get(close[0], close[0])}'?" if close else ""
