"""An entry of `callbacks:`, something of the user's own that is called between steps."""

from typing import Annotated

from pydantic import AfterValidator

from harness.config.duration import TrainingInterval
from harness.config.section import OwnObject


def _is_path(name: str) -> str:
    if ":" not in name:
        raise ValueError("must be an import path such as my_package.callbacks:Norms")
    return name


class CallbackSection(OwnObject):
    name: Annotated[str, AfterValidator(_is_path)]
    """The import path of a subclass of harness.Callback, with its arguments as further keys, or of a function (step,
    state, rows)."""
    every: TrainingInterval | None = None
    """How often it is called; null for as often as it says itself, else every epoch."""
