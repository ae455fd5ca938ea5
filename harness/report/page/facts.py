"""What a page tells of its model and its run: for a reader who has not seen them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from harness.config import Config
from harness.page import FoldedConfig, Headline, Section
from harness.page.wording import measured
from harness.training import noise_scale


@dataclass(frozen=True)
class Head:
    """The title of a page, and what stands under it."""

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


@dataclass(frozen=True)
class Facts:
    """What there is to know of a run, as a list."""

    facts: Sequence[tuple[str, str]]
    """(what, value)"""
    template: ClassVar[str] = "facts.html.jinja"


def run_section(summary: dict[str, Any], config: str) -> Section:
    """The rest of the summary, and the resolved config's YAML."""
    return Section("The run", parts=[Facts(facts(summary)), FoldedConfig(config, "harness train", "repeats the run")])


def headlines(summary: dict[str, Any]) -> list[Headline]:
    """The few numbers one looks for first; what the summary lacks is left out."""
    test = summary.get("test") or {}
    shown = [
        ("test accuracy", _number(test.get("accuracy"), ".2%")),
        ("test loss", _number(test.get("loss"), ".4f")),
        ("images per second", _number(summary.get("images_per_second"), ",.0f")),
        ("training time", _duration(summary.get("train_seconds"))),
    ]
    return [Headline(what, value) for what, value in shown if value]


def facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """The rest of the summary, as (what, value) in words and units."""
    validation, test = summary.get("validation") or {}, summary.get("test") or {}
    memory, noise = summary.get("peak_memory_bytes"), summary.get("noise_scale")
    shown = [
        ("status", str(summary.get("status") or "")),
        ("test", _result(test)),
        ("validation", _result(validation)),
        ("gradient noise scale", noise_scale.describe(noise) if noise else ""),
        ("steps", _number(summary.get("steps"), ",")),
        ("epochs", _number(summary.get("epochs"), ".4g")),
        ("examples seen", _number(summary.get("examples"), ",")),
        ("global batch", _number(summary.get("global_batch"), ",")),
        ("replicas", _number(summary.get("replicas"), ",")),
        ("workers", _number(summary.get("workers"), ",")),
        ("device", str(summary.get("device") or "")),
        ("compile time", _duration(summary.get("compile_seconds"))),
        ("peak memory", f"{memory / 2**20:,.0f} MiB" if memory else ""),
        ("weights SHA-256", str(summary.get("weights_sha256") or "")),
        ("versions", _pairs(summary.get("versions"))),
        ("git", _pairs(summary.get("git"))),
    ]
    return [(what, value) for what, value in shown if value]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _result(split: dict[str, Any]) -> str:
    if not split:
        return ""
    return f"accuracy {split['accuracy']:.4f}, loss {measured(split['loss'])}, on {split['examples']:,} images"


def _pairs(values: Any) -> str:
    if isinstance(values, dict):
        return ", ".join(f"{key} {value}" for key, value in values.items())
    return str(values or "")


def _title(model: str, data: str, accuracy: float) -> str:
    return f"{model} on {data}: {accuracy:.2%} test accuracy"


def _date(finished: str) -> str:
    when = datetime.fromisoformat(finished)
    return f"{when.day} {when:%B %Y, %H:%M %Z}"
