"""The filters: what each looks for, what excites it, and what they make of an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.config.insight import InsightSection
from harness.console.progress import Progress
from harness.insight.filters import ALIKE, RARE, STARTS, feature_maps
from harness.insight.layers import has_convolutions
from harness.page import Section
from harness.report import examples
from harness.report.class_figures import class_images_picture
from harness.report.evaluated_model import EvaluatedModel
from harness.report.excitation_figures import examples_pictures, patches_pictures
from harness.report.filter_figures import feature_maps_picture, kernels_picture
from harness.report.filter_plan import MOST_CLASSES, plan
from harness.report.filter_study import FilterStudy, LayerStudy, study


@dataclass(frozen=True)
class Filters:
    """What the page and insight.json have of the filters."""

    sections: Sequence[Section]
    study: FilterStudy | None = None
    """None if they are not analysed, or not yet."""

    @classmethod
    def before(cls, evaluated: EvaluatedModel, insight: InsightSection) -> "Filters":
        """What there is before they are analysed: a word on why there is nothing, where the model has some."""
        if not has_convolutions(evaluated.logits):
            return cls([])
        if not insight.filters:
            return cls([Section("Filters", ["The filters were not analysed because insight.filters is false."])])
        words = (
            "The filters are still being analysed; this page is written again with them. If that was interrupted, run "
            "harness visualize."
        )
        return cls([Section("Filters", [words])])

    @classmethod
    def of(cls, evaluated: EvaluatedModel, insight: InsightSection, seed: int, progress: Progress) -> "Filters | None":
        """None for a model that has none, or where they are not asked for."""
        if not insight.filters or not has_convolutions(evaluated.logits):
            return None
        seconds = insight.budget.seconds
        planned = plan(evaluated, seconds)
        progress.expect(2 + len(planned.layers))
        found = study(evaluated, planned, seed, seconds, progress.step)
        return cls(filter_sections(evaluated, found), found)

    def as_json(self) -> dict[str, Any]:
        if self.study is None:
            return {"filters": {}, "filters_shown": None, "class_images": []}
        return {
            "filters": self.study.as_json(),
            "filters_shown": self.study.overview_json(),
            "class_images": self.study.classes_json(),
        }


def filter_sections(evaluated: EvaluatedModel, found: FilterStudy) -> list[Section]:
    """All that is shown of a model's filters."""
    classes = evaluated.probabilities.shape[1]
    whose = "the logit of each class"
    if classes > MOST_CLASSES:
        whose = f"the logit of each of the first {MOST_CLASSES} of {classes:,} classes"
    names = evaluated.class_names
    patches = [picture for layer in found.layers for picture in patches_pictures(layer, evaluated.images, names)]
    shown = [picture for layer in found.layers for picture in examples_pictures(layer, evaluated.images, names)]
    activating = (
        "The test images that activate each filter most, strongest first. A frame marks the part of the image "
        "that the most active unit sees; the bars count the classes of these images."
    )
    ascent = (
        f"Images made by gradient ascent to raise {whose}, next to the test image with the highest logit for "
        f"that class. {_starts(found.plan.class_starts)}"
    )
    return [
        Section("Filters", [_intro(found)], pictures=[kernels_picture(found.first, found.kernels), *patches]),
        Section(
            "What activates each filter",
            [activating],
            pictures=shown,
            folded=True,
        ),
        Section(
            "Class images",
            [ascent],
            pictures=[class_images_picture(found.classes, evaluated.images, names)],
        ),
        features(evaluated, found.layers),
    ]


def features(evaluated: EvaluatedModel, layers: Sequence[LayerStudy]) -> Section:
    """The feature maps of one image of each class, or of the first 20 that have images; those of the filters shown."""
    there = examples.clearest(evaluated.labels, evaluated.probabilities)
    rows = there[:MOST_CLASSES]
    which = "each class" if len(rows) == len(there) else f"each of the first {len(rows)} of {len(there):,} classes"
    shown = {layer.name: layer.shown for layer in layers}
    maps = feature_maps(evaluated.logits, evaluated.images[rows], shown)
    pictures = [
        feature_maps_picture(
            int(evaluated.labels[row]),
            int(row),
            evaluated.images[row],
            {layer: values[index, shown[layer]] for layer, values in maps.items()},
            shown,
            evaluated.class_names,
        )
        for index, row in enumerate(rows)
    ]
    intro = (
        f"The output of the filters for one image of {which}: the one the model is most certain about. Each map "
        "shows a filter's output at each position of the image, after the activation function. Each layer has one "
        "scale, from 0 (or its smallest value, if negative) to its largest. The first layer traces strokes and "
        "edges; the last shows what is where. A filter's number is its row label plus its column label."
    )
    return Section(
        "Feature maps",
        [intro],
        pictures=pictures,
        folded=True,
    )


def _intro(study: FilterStudy) -> str:
    counts = "; ".join(_count(layer) for layer in study.layers)
    words = (
        f"{counts}. A dead filter has the same output for every test image wherever it can affect the model's output; "
        f"a rare one is active in under {RARE:.1%} of the images. Two filters are near-duplicates if the cosine "
        f"similarity of their kernels and the correlation of their outputs are both above {ALIKE}. Each patch is the "
        f"best of {STARTS} runs of gradient ascent."
    )
    return " ".join([words, *study.notices()])


def _count(layer: LayerStudy) -> str:
    dead = f" ({', '.join(map(str, layer.dead))})" if layer.dead else ""
    rare = ", ".join(f"{number}: {share:.2%}" for number, share in layer.rare.items())
    seldom = f"{len(layer.rare)} rare ({rare}), " if rare else ""
    pairs = [f"{pair.first} and {pair.second}: {pair.similarity:.2f}" for pair in layer.duplicates]
    alike = f" ({'; '.join(pairs)})" if pairs else ""
    return (
        f"{layer.name}: {len(layer.classes)} filters, {len(layer.dead) or 'none'} dead{dead}, {seldom}"
        f"{len(pairs) or 'no'} near-duplicate{'' if len(pairs) == 1 else 's'}{alike}"
    )


def _starts(number: int) -> str:
    return "One run per class." if number == 1 else f"The best of {number} runs per class is shown."
