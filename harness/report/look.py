"""A look into a trained model: its maps, how far they can be trusted, its filters."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.config.insight import InsightSection
from harness.insight.layers import convolutions, has_convolutions
from harness.insight.saliency import METHODS, cam_grid
from harness.insight.trust import Trust, assess, assessments
from harness.report.explanation import Explained, Request, explain, methods_for
from harness.report.filter_sections import filter_sections
from harness.report.filter_study import FilterStudy, study
from harness.report.page import Page, Section
from harness.report.page.gallery import KINDS, gallery, script_data
from harness.report.picture import Picture, with_own_names
from harness.report.progress import Progress
from harness.report.saliency_figures import saliency_pictures
from harness.report.subject import Subject
from harness.report.times import milliseconds, time_key, times_json
from harness.report.trust_json import trust_json
from harness.report.trust_section import trust_section, trust_table, verdict


@dataclass(frozen=True)
class Look:
    subject: Subject
    request: Request
    explained: Explained
    trust: Trust
    maps: Sequence[Picture]
    """The maps as pictures, for the folder of figures and TensorBoard."""
    filters: FilterStudy | None
    """None for a model without convolutional layers."""
    insight: InsightSection
    times: Mapping[str, float]
    """Milliseconds an image by `time_key`, those of earlier looks at the model among them."""

    @classmethod
    def into(
        cls,
        subject: Subject,
        insight: InsightSection,
        seed: int,
        request: Request,
        known: Mapping[str, float],
        progress: Progress,
    ) -> "Look":
        """Explain, assess and picture.

        Args:
            known: milliseconds by `time_key`, which aren't measured again.
        """
        methods = methods_for(subject, insight)
        looks = has_convolutions(subject.logits)
        filters = len(convolutions(subject.logits)) + 1 if looks else 0
        progress.expect(len(methods) + assessments(subject.logits) + filters)
        explained = explain(
            subject, insight, seed, request, lambda name: progress.step(f"maps by {METHODS[name].title}")
        )
        trust = assess(
            subject.logits,
            methods,
            explained.images(),
            explained.predicted(),
            {name: explained.predicted_maps(name) for name in methods},
            seed=seed,
            progress=progress.step,
        )
        keys = {name: time_key(subject, name, insight.layer) for name in methods}
        new = {
            keys[name]: round(milliseconds(subject, method, explained), 3)
            for name, method in methods.items()
            if keys[name] not in known
        }
        return cls(
            subject,
            request,
            explained,
            trust,
            saliency_pictures(explained),
            study(subject, seed, progress.step) if looks else None,
            insight,
            {**known, **new},
        )

    @property
    def milliseconds(self) -> dict[str, float]:
        """An image, by method."""
        return {name: self.times[time_key(self.subject, name, self.insight.layer)] for name in self.explained.maps}

    @cached_property
    def sections(self) -> list[Section]:
        sanity = {name: verdict(method.sanity) for name, method in self.trust.methods.items()}
        shown = gallery(self.explained, sanity, self.request.label)
        filters = filter_sections(self.subject, self.filters) if self.filters else []
        return [Section("What it looks at", _intro(self), gallery=shown), trust_section(self.trust), *filters]

    def pictures(self) -> list[Picture]:
        """All of them, for files."""
        return with_own_names([*self.maps, *(picture for section in self.sections for picture in section.pictures)])

    def page(self, first: Section, summary: dict[str, Any], config: str) -> Page:
        """The page, with `first` before what this is about."""
        deletion = {name: method.faithfulness.deletion["black"] for name, method in self.trust.methods.items()}
        return Page(
            name=self.subject.name,
            trust=trust_table(self.trust, self.milliseconds, self.explained.left_out),
            sections=[first, *self.sections],
            data=script_data(self.explained, deletion),
            summary=summary,
            config=config,
        )

    def as_json(self) -> bytes:
        """insight.json: trust by method, the images with what the model says of them, the filters by layer, and how
        they came about."""
        images = [
            {
                "name": example.name,
                "row": example.row,
                "chosen": KINDS[example.kind],
                "true": example.label,
                "predicted": example.predicted,
                "probability": round(float(example.probabilities[example.predicted]), 6),
            }
            for example in self.explained.examples
        ]
        filters = self.filters.as_json() if self.filters else {}
        told = {
            **trust_json(self.trust, self.milliseconds),
            "images": images,
            "filters": filters,
            "insight": self.insight.model_dump(mode="json"),
            "times": times_json(self.subject, self.times),
        }
        return json.dumps(told, indent=1).encode() + b"\n"


def _intro(look: Look) -> str:
    kinds = [example.kind for example in look.explained.examples]
    wrong = int((look.subject.labels != look.subject.predicted).sum())
    counted = [f"{kinds.count(kind)} {words}" for kind, words in KINDS.items() if kind in kinds]
    intro = (
        f"{len(kinds)} images: {', '.join(counted)}. Each map explains the logit of the class under it: that of the "
        "predicted class and, where it is wrong, of the true one too. "
    )
    mistakes = f"{wrong:,} of the {len(look.subject.labels):,} test images are" if wrong else "No test image was"
    return f"{intro}{_bands(look.subject)}{_layer(look)}{mistakes} misclassified."


def _bands(subject: Subject) -> str:
    """What of the images is seen, where they have more channels than a picture."""
    channels = subject.images.shape[-1]
    if channels <= 3:
        return ""
    return f"Of {channels} channels the first three are shown, as red, green and blue; maps are of all. "


def _layer(look: Look) -> str:
    """Which layer the CAM methods look at, and how much its cells can tell."""
    titles = [METHODS[name].title for name in look.explained.maps if METHODS[name].of_a_layer]
    if not titles:
        return ""
    grid = cam_grid(look.subject.logits, look.insight.layer)
    rows, columns = grid.shape
    used = f"{grid.rows.reaching.sum()}×{grid.columns.reaching.sum()}"
    look_at = f"{' and '.join(titles)} look{'s' if len(titles) == 1 else ''} at"
    told = f"{look_at} the layer {grid.layer}, {rows}×{columns} cells"
    if not grid.reaching.all():
        told += f", of which the output depends on {used}"
    if not grid.by_fields:
        told += ", laid over the image in equal parts, as what each sees isn't known"
    return told + ("; of fewer than 7×7 cells a map tells little. " if grid.is_coarse else ". ")
