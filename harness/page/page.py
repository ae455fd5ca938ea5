"""What a page holds, and its HTML. A report adds templates of its own beside its code for what no other page has."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from harness.page.picture import Picture
from harness.page.table import Table


class Part(Protocol):
    """What a section shows under its tables and pictures; its template knows it as `part`."""

    template: ClassVar[str]


@dataclass(frozen=True)
class Section:
    """A heading, a few paragraphs, and what they are about, in the order of the fields."""

    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    folded: bool = False
    """Whether each picture is folded under its title until it is opened."""
    parts: Sequence[Part] = ()

    @property
    def anchor(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class FoldedConfig:
    """A config's YAML, folded."""

    text: str
    command: str
    """That takes the file, and what it does with it, as in `harness train`, `repeats the run`."""
    does: str
    template: ClassVar[str] = "config.html.jinja"


class Headline(NamedTuple):
    """One of the numbers that one looks for first."""

    what: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Page:
    """One HTML page, with all of its styles, scripts and pictures in it."""

    title: str
    sections: Sequence[Section]
    """In the order of the page."""
    subtitle: str = ""
    about: Sequence[tuple[str, str]] = ()
    """(what, value) of what the page is about, in small print under its title."""
    sentence: str = ""
    """What was found, for those who read no further."""
    headlines: Sequence[Headline] = ()
    warnings: Sequence[str] = ()
    data: dict[str, Any] = field(default_factory=dict)
    """What the script of a report's own template draws, as JSON values."""


def render(page: Page, package: str = "harness.page", template: str = "page.html.jinja") -> str:
    """The page's HTML; equal pages give the same text.

    Args:
        page: its values are escaped.
        package: where a report's own template and those of its parts lie; it extends this package's page.html.jinja.
        template: its name.

    Raises jinja2.UndefinedError where a template asks for what isn't there.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name, "") for name in dict.fromkeys((package, "harness.page"))]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    return environment.get_template(template).render(page=page)
