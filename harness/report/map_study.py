"""What is shown of a trained model: its maps, how far they can be trusted, and its filters."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.config.insight import InsightSection
from harness.console.progress import Progress
from harness.data.images import evenly
from harness.errors import UserError
from harness.insight.saliency import METHODS, Explain
from harness.insight.trust import MOST_EXPLAINED_AGAIN, Interval, Trust, assess, assessments
from harness.insight.trust.metrics import MEASUREMENTS, measure, metrics_json
from harness.models.logits import is_independent
from harness.page import Page, Section
from harness.page.picture import Picture, with_own_names
from harness.report.evaluated_model import EvaluatedModel
from harness.report.explanation import Explained, Request, explain, methods_for
from harness.report.filter_sections import Filters
from harness.report.gallery_words import intro
from harness.report.image_plan import images_a_kind
from harness.report.overview import Overview, overview
from harness.report.overview_figures import overview_section
from harness.report.page.facts import Head, headlines, run_section
from harness.report.page.gallery import gallery, script_data
from harness.report.saliency_figures import saliency_pictures
from harness.report.times import milliseconds, time_key, times_json
from harness.report.trust_json import trust_json
from harness.report.trust_section import findings, trust_section

_CHOSEN = {
    "own": "your own",
    "named": "asked for",
    "correct": "drawn from the right ones",
    "mistakes": "most confident mistakes",
    "unsure": "least sure",
}
"""In insight.json, which programs read: the page has words of its own."""


@dataclass(frozen=True)
class Study:
    """Without maps: the result and the filters are all there is."""

    evaluated: EvaluatedModel
    insight: InsightSection
    times: Mapping[str, float]
    """Milliseconds an image by `time_key`, those of earlier reports on the model among them."""

    @property
    def sections(self) -> list[Section]:
        return [Section("What the model looks at", ["No maps were asked for (insight.methods)."])]

    @property
    def _maps(self) -> Sequence[Picture]:
        """As pictures, for the folder of figures and TensorBoard."""
        return ()

    @property
    def _script_data(self) -> dict[str, Any]:
        return {}

    @property
    def _json(self) -> dict[str, Any]:
        return {
            "methods": {},
            "controls": {},
            "images": [],
            "images_a_kind": 0,
            "empty_maps": {},
            "overview": None,
            "metrics": None,
        }

    def pictures(self, filters: Filters) -> list[Picture]:
        """All of them, for files."""
        sections = [*self.sections, *filters.sections]
        return with_own_names([*self._maps, *(picture for section in sections for picture in section.pictures)])

    def page(
        self, head: Head, first: Sequence[Section], filters: Filters, summary: dict[str, Any], config: str
    ) -> Page:
        """The page, with `first` before what this is about. `summary` and `config` are empty where it is of no run."""
        run = [run_section(summary, config)] if config else []
        return Page(
            title=head.title,
            about=head.facts,
            headlines=headlines(summary),
            sections=[*first, *self.sections, *filters.sections, *run],
            data=self._script_data,
        )

    def as_json(self, filters: Filters, source: Mapping[str, Any]) -> bytes:
        """insight.json: trust by method, the images with what the model says of them, the filters by layer, and how
        they came about; of a user's own files, with `source`, where these lie."""
        content = {
            **self._json,
            **filters.as_json(),
            "class_names": list(self.evaluated.class_names),
            "insight": self.insight.model_dump(mode="json"),
            "times": times_json(self.evaluated, self.times),
            **source,
        }
        return json.dumps(content, indent=1).encode() + b"\n"


@dataclass(frozen=True)
class MapStudy(Study):
    """With maps of the images that were chosen or asked for."""

    request: Request
    explained: Explained

    @cached_property
    def _maps(self) -> Sequence[Picture]:
        return saliency_pictures(self.explained)

    @property
    def _empty_maps(self) -> dict[str, Any]:
        """By method, as JSON values."""
        return {name: self.explained.empty(name)._asdict() for name in self.explained.maps}


@dataclass(frozen=True)
class CheckedMapStudy(MapStudy):
    """With maps, how far each method can be trusted, and an overview of one method's maps."""

    trust: Trust
    overview: Overview
    metrics: Mapping[str, Mapping[str, Interval]] | None
    """By metric and method, where insight.metrics asks for them."""
    a_kind: int
    """How many images of each kind are explained: insight.images, or fewer where the budget is short."""

    @classmethod
    def of(
        cls,
        evaluated: EvaluatedModel,
        insight: InsightSection,
        seed: int,
        request: Request,
        known: Mapping[str, float],
        progress: Progress,
    ) -> "CheckedMapStudy":
        """Explain, assess and picture the maps.

        Args:
            known: milliseconds by `time_key`, which aren't measured again.
        """
        methods = methods_for(evaluated, insight)
        progress.expect(len(methods) + assessments(evaluated.logits) + 1 + MEASUREMENTS * insight.metrics)
        a_kind = images_a_kind(
            evaluated.logits,
            list(methods),
            insight,
            training=len(evaluated.train) if evaluated.train else 0,
            fine_tuned=bool(evaluated.train) and not is_independent(evaluated.logits),
        )
        explained = explain(
            evaluated,
            insight.model_copy(update={"images": a_kind}),
            seed,
            request,
            lambda name: progress.step(f"maps by {METHODS[name].title}"),
        )
        trust = assess(
            evaluated.logits,
            methods,
            explained.images(),
            explained.predicted(),
            {name: explained.predicted_maps(name) for name in methods},
            seed=seed,
            progress=progress.step,
        )
        progress.step("many images")
        first = next(iter(methods))
        at_a_time = min(len(explained.examples), MOST_EXPLAINED_AGAIN)
        many = overview(evaluated, first, methods[first], seed, a_kind=a_kind, at_a_time=at_a_time)
        metrics = _metrics(evaluated, methods, explained, seed, progress) if insight.metrics else None
        keys = {name: time_key(evaluated, name, insight.layer) for name in methods}
        new = {
            keys[name]: round(milliseconds(evaluated, method, explained), 3)
            for name, method in methods.items()
            if keys[name] not in known
        }
        return cls(evaluated, insight, {**known, **new}, request, explained, trust, many, metrics, a_kind)

    @property
    def milliseconds(self) -> dict[str, float]:
        """An image, by method."""
        return {name: self.times[time_key(self.evaluated, name, self.insight.layer)] for name in self.explained.maps}

    @cached_property
    def sections(self) -> list[Section]:
        answers = {
            name: {key: found.short for key, found in findings(self.trust, name).items()} for name in self.trust.methods
        }
        shown = gallery(self.explained, answers, self.request.label)
        return [
            Section(
                "What the model looks at",
                [intro(self.evaluated, self.insight, self.explained, self.a_kind)],
                parts=[shown],
            ),
            trust_section(self.trust, self.milliseconds, self.explained.left_out),
            overview_section(self.evaluated, self.overview),
        ]

    @property
    def _script_data(self) -> dict[str, Any]:
        return script_data(self.explained, self.trust.deletion)

    @property
    def _json(self) -> dict[str, Any]:
        return {
            **trust_json(self.trust, self.milliseconds),
            "images": images_json(self.explained),
            "images_a_kind": self.a_kind,
            "empty_maps": self._empty_maps,
            "overview": self.overview.as_json(),
            "metrics": metrics_json(self.metrics) if self.metrics else None,
        }


def images_json(explained: Explained) -> list[dict[str, Any]]:
    """The images with what the model says of them, as JSON values."""
    return [
        {
            "name": example.name,
            "row": example.row,
            "chosen": _CHOSEN[example.kind],
            "true": example.label,
            "predicted": example.predicted,
            "probability": round(float(example.probabilities[example.predicted]), 6),
        }
        for example in explained.examples
    ]


def study_maps(
    evaluated: EvaluatedModel,
    insight: InsightSection,
    seed: int,
    request: Request,
    known: Mapping[str, float],
    progress: Progress,
) -> Study:
    """As `CheckedMapStudy.of`, or without maps where `insight.methods` is empty. Raises UserError for a request of rows
    then; what the model predicts for the user's own pictures is printed before."""
    if insight.methods:
        return CheckedMapStudy.of(evaluated, insight, seed, request, known, progress)
    if request.rows:
        raise UserError("insight.methods is empty, so --images has nothing to show: name a method")
    return Study(evaluated, insight, known)


def _metrics(
    evaluated: EvaluatedModel, methods: Mapping[str, Explain], explained: Explained, seed: int, progress: Progress
) -> dict[str, dict[str, Interval]]:
    """Of up to 16 images, evenly spread; F-Fidelity, which trains, where there are training images and a softmax."""
    few = evenly(len(explained.examples), MOST_EXPLAINED_AGAIN)
    train = None if is_independent(evaluated.logits) else evaluated.train
    return measure(
        evaluated.logits,
        methods,
        explained.images()[few],
        explained.predicted()[few],
        {name: explained.predicted_maps(name)[few] for name in methods},
        (train.images, train.labels) if train else None,
        seed=seed,
        progress=progress.step,
    )
