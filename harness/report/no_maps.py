"""A look into a model whose maps nobody asked for: the result and the filters are all there is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.config.insight import InsightSection
from harness.errors import UserError
from harness.report.explanation import Request
from harness.report.filter_sections import Filters
from harness.report.look import Look
from harness.report.page import Head, Page, Section
from harness.report.picture import Picture, with_own_names
from harness.report.progress import Progress
from harness.report.subject import Subject
from harness.report.times import times_json


@dataclass(frozen=True)
class NoMaps:
    """Has what a Look has."""

    subject: Subject
    insight: InsightSection
    times: Mapping[str, float]

    def pictures(self, filters: Filters) -> list[Picture]:
        return with_own_names([picture for section in filters.sections for picture in section.pictures])

    def page(
        self, head: Head, first: Sequence[Section], filters: Filters, summary: dict[str, Any], config: str
    ) -> Page:
        without = Section("What the model looks at", "No maps were asked for (insight.methods).")
        return Page(head, [*first, without, *filters.sections], None, summary, config)

    def as_json(self, filters: Filters) -> bytes:
        told = {
            "methods": {},
            "controls": {},
            "images": [],
            "images_a_kind": 0,
            "empty_maps": {},
            "overview": None,
            "metrics": None,
            **filters.as_json(),
            "insight": self.insight.model_dump(mode="json"),
            "times": times_json(self.subject, self.times),
        }
        return json.dumps(told, indent=1).encode() + b"\n"


def look_into(
    subject: Subject,
    insight: InsightSection,
    seed: int,
    request: Request,
    known: Mapping[str, float],
    progress: Progress,
) -> Look | NoMaps:
    """As `Look.into`, or without maps where `insight.methods` is empty. Raises UserError for a request
    of rows then; what the model says of pictures of the user's own is told before."""
    if insight.methods:
        return Look.into(subject, insight, seed, request, known, progress)
    if request.rows:
        raise UserError("insight.methods is empty, so --images has nothing to show: name a method")
    return NoMaps(subject, insight, known)
