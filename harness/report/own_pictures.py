"""The user's own pictures: their maps, and what the run's own page says of the methods."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from harness.config.insight import InsightSection
from harness.console.progress import Progress
from harness.insight.saliency import METHODS
from harness.insight.trust import Curves, Interval, NotAsked
from harness.insight.trust.faithfulness import deletion_to_black
from harness.page import Row, Section, Table
from harness.page.wording import listed
from harness.report.evaluated_model import EvaluatedModel
from harness.report.explanation import Request, explain, methods_for
from harness.report.gallery_words import words_on_images, words_on_layer
from harness.report.map_study import MapStudy, images_json
from harness.report.page.gallery import gallery, script_data
from harness.report.times import times_json
from harness.report.trust_section import QUESTIONS, Finding

_NOT_ASKED = "not asked: "


@dataclass(frozen=True)
class OwnPictureStudy(MapStudy):
    """With maps of the user's own pictures, and what the run's page says of the methods."""

    deletion: Mapping[str, Curves]
    """Over black, by method."""
    checked: Mapping[str, Mapping[str, Any]]
    """By method, what the run's insight.json says of it; without those that it says nothing of."""

    @classmethod
    def of(
        cls,
        evaluated: EvaluatedModel,
        insight: InsightSection,
        seed: int,
        request: Request,
        known: Mapping[str, float],
        insight_file: Path,
        progress: Progress,
    ) -> "OwnPictureStudy":
        """Explain the request's files and rows, and no other image.

        Args:
            known: milliseconds by `time_key`.
            insight_file: the run's own.
        """
        methods = methods_for(evaluated, insight)
        progress.expect(len(methods) + 1)
        explained = explain(
            evaluated,
            insight.model_copy(update={"images": 0}),
            seed,
            request,
            lambda name: progress.step(f"maps by {METHODS[name].title}"),
        )
        progress.step("deletion")
        images, labels = explained.images(), explained.predicted()
        deletion = {
            name: deletion_to_black(evaluated.logits, explained.predicted_maps(name), images, labels, seed=seed)
            for name in methods
        }
        checked = _checked(insight_file, evaluated, insight)
        return cls(evaluated, insight, known, request, explained, deletion, checked)

    @cached_property
    def sections(self) -> list[Section]:
        findings = {name: _findings(self.checked[name]) if name in self.checked else {} for name in self.explained.maps}
        answers = {name: {key: found.short for key, found in of.items()} for name, of in findings.items()}
        intro = (
            f"{words_on_images(self.explained)}. Each map explains the model's score (logit) for the class named below "
            f"it. {words_on_layer(self.evaluated, self.insight, self.explained)}"
        )
        return [
            Section(
                "What the model looks at",
                [intro.strip()],
                parts=[gallery(self.explained, answers, self.request.label)],
            ),
            _trust_section(findings),
        ]

    @property
    def _script_data(self) -> dict[str, Any]:
        return script_data(self.explained, self.deletion)

    @property
    def _json(self) -> dict[str, Any]:
        return {
            **super()._json,
            "methods": {name: self.checked[name] for name in self.explained.maps if name in self.checked},
            "images": images_json(self.explained),
            "empty_maps": self._empty_maps,
        }


def _checked(insight_file: Path, evaluated: EvaluatedModel, insight: InsightSection) -> dict[str, Mapping[str, Any]]:
    """What an insight.json says of the methods, where it is of this very model, and of maps of the same layer."""
    try:
        found = json.loads(insight_file.read_bytes())
        if found["times"]["model"] != times_json(evaluated, {})["model"]:
            return {}
        same_layer = found["insight"]["layer"] == insight.layer
        checked = {
            name: of
            for name, of in found["methods"].items()
            if name in METHODS and (same_layer or not METHODS[name].of_a_layer)
        }
        return {name: of for name, of in checked.items() if _findings(of)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _findings(of: Mapping[str, Any]) -> dict[str, Finding]:
    """The answers about a method by question, from insight.json."""
    return {key: _finding(of["answers"][key]) for key in QUESTIONS}


def _finding(found: Mapping[str, Any]) -> Finding:
    words = found["answer"]
    numbers = (np.nan if found[key] is None else found[key] for key in Interval._fields)
    reason = words.removeprefix(_NOT_ASKED)
    return Finding(words if reason == words else NotAsked(reason), Interval(*numbers))


def _trust_section(findings: Mapping[str, Mapping[str, Finding]]) -> Section:
    there = {METHODS[name].title: of for name, of in findings.items() if of}
    missing = [METHODS[name].title for name, of in findings.items() if not of]
    words = []
    if there:
        words.append(
            "These answers are about the model and come from its test images: the run's own page, report.html two "
            "folders up, has the numbers behind them. The pictures above were not checked themselves."
        )
    if missing:
        words.append(
            f"The run's own page has no answers about {listed(missing)}: run harness visualize without --input, and "
            "with the same methods and layer, to get them."
        )
    headings = ["Method", *(question.heading for question in QUESTIONS.values())]
    rows = [Row([title, *(found.verdict for found in of.values())]) for title, of in there.items()]
    notes = [question.note for question in QUESTIONS.values()]
    table = Table("Trust in each method", headings, rows, notes)
    return Section("Can the maps be trusted?", [" ".join(words)], [table] if there else [])
