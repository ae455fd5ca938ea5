"""How well each class is found: its precision and recall on the test images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.classes import called
from harness.page import Row, Section, Table

_MOST_TABLED = 30


@dataclass(frozen=True)
class ClassScore:
    """Of one class that occurs among the labels or the predictions."""

    name: int
    images: int
    """That are of the class."""
    predicted: int
    """That are taken for it."""
    right: int

    @property
    def precision(self) -> float | None:
        """Of the images taken for the class, the share that is of it; None if there are none."""
        return self.right / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """Of the images of the class, the share that is taken for it; None if there are none."""
        return self.right / self.images if self.images else None

    def as_json(self) -> dict[str, Any]:
        return {
            "class": self.name,
            "images": self.images,
            "predicted": self.predicted,
            "precision": self.precision,
            "recall": self.recall,
        }


def class_scores(labels: NDArray[np.int32], predicted: NDArray[np.intp]) -> list[ClassScore]:
    """Of every class among labels (n,) and predictions (n,), in order."""
    names = np.union1d(labels, predicted)
    size = int(names[-1]) + 1
    counted = [
        np.bincount(of, minlength=size)[names].tolist() for of in (labels, predicted, labels[labels == predicted])
    ]
    return [ClassScore(*of) for of in zip(names.tolist(), *counted, strict=True)]


def classes_section(scores: list[ClassScore], names: Sequence[str] = ()) -> Section:
    """A table of them; of more than 30 classes those with the lowest recall. `names` are by label, if there are."""
    worst = sorted(scores, key=lambda score: (score.recall is None, score.recall or 0.0))[:_MOST_TABLED]
    shown = scores if len(scores) <= _MOST_TABLED else worst
    intro = "How many images taken for a class are of it (precision), and how many of its images are found (recall)."
    if shown is worst:
        intro += f" Of {len(scores):,} classes, the {_MOST_TABLED} with the lowest recall."
    rows = [
        Row(
            [
                f"class {called(of.name, names)}",
                f"{of.images:,}",
                f"{of.predicted:,}",
                _share(of.precision),
                _share(of.recall),
            ]
        )
        for of in shown
    ]
    headings = ["class", "test images", "predicted", "precision", "recall"]
    return Section("Classes", [intro], [Table("Precision and recall", headings, rows)])


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"
