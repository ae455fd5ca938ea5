"""What a page is about, in a line or two, for whoever is sent it and has not seen the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.config import Config


@dataclass(frozen=True)
class Head:
    title: str
    """Model, data set and accuracy."""
    facts: Sequence[tuple[str, str]]
    """(what, value), the ones that tell this model from another."""


def head_of_run(name: str, config: Config, summary: dict[str, Any], parameters: int, accuracy: float) -> Head:
    """The head of a run's page.

    Args:
        name: of the run's directory.
        summary: as in summary.json; without `finished`, as 0.1.0 wrote it, no date is given.
        parameters: of the model.
        accuracy: on the test images, 0 to 1.
    """
    data, model = Path(config.data.source).name, str(config.model)
    finished = summary.get("finished")
    facts = [
        ("data set", data),
        ("model", model),
        ("parameters", f"{parameters:,}"),
        ("trained", _date(finished) if finished else ""),
        ("seed", str(config.seed)),
        ("config", config.origin),
        ("run", name),
    ]
    return Head(_title(model, data, accuracy), [(what, value) for what, value in facts if value])


def head_of_model(name: str, data: str, parameters: int, accuracy: float) -> Head:
    """The head of a page on a model file: its name, that of the file with the images, and the same numbers."""
    return Head(_title(name, data, accuracy), [("data set", data), ("model", name), ("parameters", f"{parameters:,}")])


def _title(model: str, data: str, accuracy: float) -> str:
    return f"{model} on {data}: {accuracy:.2%} test accuracy"


def _date(finished: str) -> str:
    when = datetime.fromisoformat(finished)
    return f"{when.day} {when:%B %Y, %H:%M %Z}"
