"""The filters: what each looks for, what excites it, and what they make of an image."""

from collections.abc import Sequence

from harness.insight.filters import ALIKE, feature_maps
from harness.report import examples
from harness.report.class_figures import class_images_picture
from harness.report.excitation_figures import examples_pictures, patches_pictures
from harness.report.filter_figures import feature_maps_picture, kernels_picture
from harness.report.filter_study import MOST_CLASSES, FilterStudy, LayerStudy
from harness.report.page import Section
from harness.report.subject import Subject


def filter_sections(subject: Subject, study: FilterStudy) -> list[Section]:
    """All that is shown of a model's filters."""
    classes = subject.probabilities.shape[1]
    whose = "each class's logit"
    if classes > MOST_CLASSES:
        whose = f"the logit of each of the classes 0 to {MOST_CLASSES - 1} of {classes:,}"
    patches = [picture for layer in study.layers for picture in patches_pictures(layer, subject.images)]
    shown = [picture for layer in study.layers for picture in examples_pictures(layer, subject.images, subject.labels)]
    return [
        Section("Filters", _intro(study.layers), [kernels_picture(study.layers[0].name, study.kernels), *patches]),
        Section(
            "What excites each filter",
            "The test images that excite each filter most, the strongest first, with the part of the image that the "
            "strongest unit sees, and the classes of these images.",
            shown,
            folded=True,
        ),
        Section(
            "Class images",
            f"The image that raises {whose} most, beside the test image of the class that does.",
            [class_images_picture(study.classes, subject.images)],
        ),
        features(subject),
    ]


def features(subject: Subject) -> Section:
    """The feature maps of one image of each class, or of the first 20 that have images."""
    there = examples.clearest(subject.labels, subject.probabilities)
    rows = there[:MOST_CLASSES]
    which = "each class" if len(rows) == len(there) else f"each of the first {len(rows)} of {len(there):,} classes"
    maps = feature_maps(subject.logits, subject.images[rows])
    pictures = [
        feature_maps_picture(
            int(subject.labels[row]),
            int(row),
            subject.images[row],
            {layer: values[index] for layer, values in maps.items()},
        )
        for index, row in enumerate(rows)
    ]
    return Section(
        "Feature maps",
        f"What the filters make of one image of {which}: the one that the model is surest of.",
        pictures,
        folded=True,
    )


def _intro(layers: Sequence[LayerStudy]) -> str:
    counts = "; ".join(_count(layer) for layer in layers)
    return (
        f"{counts}. A dead filter says the same of every test image. Two are alike where the cosine of their kernels "
        f"and the correlation of what they say are both above {ALIKE}."
    )


def _count(layer: LayerStudy) -> str:
    dead = f" ({', '.join(map(str, layer.dead))})" if layer.dead else ""
    pairs = [f"{pair.first} and {pair.second}: {pair.likeness:.2f}" for pair in layer.duplicates]
    alike = f" ({'; '.join(pairs)})" if pairs else ""
    return (
        f"{layer.name}: {len(layer.classes)} filters, {len(layer.dead) or 'none'} dead{dead}, "
        f"{len(pairs) or 'no'} pair{'' if len(pairs) == 1 else 's'} alike{alike}"
    )
