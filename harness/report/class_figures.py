"""The image found that raises each class's logit, beside the best test image of the class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.classes import called
from harness.page.picture import INK, MUTED, Picture, blank, displayable, place, png
from harness.page.table import Row, Table
from harness.page.wording import percent
from harness.report.class_labels import class_label
from harness.report.filter_study import ClassStudy, starts_in_words

_PAIRS = 5
_IMAGE, _BETWEEN = 0.88, 0.22
_ABOVE, _BELOW = 0.27, 0.52
_NAME = 1.3
"""Inches for a class above its pair."""


def class_images_picture(classes: ClassStudy, images: NDArray[Any], names: Sequence[str] = ()) -> Picture:
    """Pairs of images, each with its logit and the probability of the class.

    Args:
        images: (n, height, width, channels).
        names: of all classes, by label, where they have names.
    """
    count = len(classes.examples)
    rows = -(-count // _PAIRS)
    height, width = images.shape[1:3]
    tall, step = _IMAGE * height / width, 2 * _IMAGE + 0.04 + _BETWEEN
    figure, axes = blank(min(count, _PAIRS) * step + 0.1, rows * (tall + _ABOVE + _BELOW))
    table = []
    for label, example in enumerate(classes.examples):
        left, top = 0.1 + label % _PAIRS * step, label // _PAIRS * (tall + _ABOVE + _BELOW) + _ABOVE
        axes.text(
            left,
            top - 0.05,
            f"class {class_label(label, names, _NAME, 9.5)}",
            fontsize=9.5,
            color=INK,
            va="bottom",
            parse_math=False,
        )
        found = classes.optimal
        starts = starts_in_words(found.of_starts[label])
        shown = [(found.images[label], float(found.logits[label]), float(found.probabilities[label]), "made", starts)]
        if example is not None:
            shown.append((images[example.row], example.logit, example.probability, f"test #{example.row}", ""))
        for image, logit, probability, name, spread in shown:
            place(axes, displayable(image), left, top, _IMAGE, tall)
            lines = f"logit {logit:.2f}\n{percent(probability)}\n{name}"
            axes.text(left + _IMAGE / 2, top + tall + 0.03, lines, fontsize=7, color=MUTED, ha="center", va="top")
            table.append(Row([called(label, names), name, f"{logit:.3f}", percent(probability), spread]))
            left += _IMAGE + 0.04
    headings = ["class", "image", "logit", "probability", "runs: lowest, median, best"]
    return Picture(
        name="filters-classes",
        title="Class images",
        caption="Left of each pair: an image made by gradient ascent to raise the logit of the class, the best of "
        "several runs; a better one may exist. Right: the test image of the class with the highest logit. Below each: "
        "the logit and the probability of the class. The image that the model is most certain about need not look like "
        "the class: it shows what the model responds to.",
        alt="Images found for the classes, with the best test image beside each. Logits: "
        + "; ".join(_logits(classes, label, names) for label in range(count))
        + ".",
        png=png(figure),
        table=Table("The class images as numbers", headings, table),
    )


def _logits(classes: ClassStudy, label: int, names: Sequence[str]) -> str:
    example = classes.examples[label]
    real = "no test image" if example is None else f"{example.logit:.2f} of test image {example.row}"
    return f"class {called(label, names)} {np.float64(classes.optimal.logits[label]):.2f}, {real}"
