"""The report's page: summary, pictures, gallery, verdicts and config in one self-contained HTML file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.report.page.confusion import Confusion
from harness.report.page.gallery import Gallery
from harness.report.page.head import Head
from harness.report.page.templates import page_template
from harness.report.picture import Picture
from harness.report.table import Table
from harness.training import noise_scale


@dataclass(frozen=True)
class TrustTable:
    """A row a method, and how to read it."""

    table: Table
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Section:
    title: str
    intro: str
    pictures: Sequence[Picture] = ()
    folded: bool = False
    """Whether each picture is behind its title until one opens it."""
    confusion: Confusion | None = None
    gallery: Gallery | None = None
    trust: TrustTable | None = None

    @property
    def anchor(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Page:
    head: Head
    sections: Sequence[Section]
    """In the order of the page."""
    data: dict[str, Any] | None
    """What the script draws, as JSON values; None where there are no maps."""
    summary: dict[str, Any] = field(default_factory=dict)
    """As in summary.json; what it lacks is left out."""
    config: str = ""
    """The resolved config's YAML, where there is one."""

    @property
    def headlines(self) -> list[tuple[str, str]]:
        return headlines(self.summary)

    @property
    def facts(self) -> list[tuple[str, str]]:
        return facts(self.summary)


def render(page: Page) -> str:
    """The page's HTML; equal pages give the same text."""
    return page_template("harness.report.page").render(page=page)


def headlines(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """The few numbers one looks for first, as (what, value)."""
    test = summary.get("test") or {}
    shown = [
        ("test accuracy", _number(test.get("accuracy"), ".2%")),
        ("test loss", _number(test.get("loss"), ".4f")),
        ("images per second", _number(summary.get("images_per_second"), ",.0f")),
        ("training time", _duration(summary.get("train_seconds"))),
    ]
    return [(what, value) for what, value in shown if value]


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
    return f"accuracy {split['accuracy']:.4f}, loss {split['loss']:.4f}, on {split['examples']:,} images"


def _pairs(values: Any) -> str:
    if isinstance(values, dict):
        return ", ".join(f"{key} {value}" for key, value in values.items())
    return str(values or "")
