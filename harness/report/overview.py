"""What one method's maps say of the data set as a whole: by class, confusion and similarity, and of which nothing."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.insight.inference import sample
from harness.insight.map_groups import Mean, clusters, empty, mean_map
from harness.insight.neighbours import Neighbours, last_hidden, nearest
from harness.insight.saliency import Explain, Maps, in_parts
from harness.report import examples
from harness.report.evaluated_model import EvaluatedModel

MOST_A_KIND = 20
"""Images of each kind for which the overview is of all that it can be of."""
_OF_A_CLASS, _OF_ALL = 20, 400
"""Correct images that a class's mean map is of, at most, and those of all classes."""
_MISTAKES = 100
"""At most so many are explained, the most confident first."""
_AMONG = 10_000
"""Training images, evenly spread; fewer where they are large."""
NEAREST_TO = 10
"""Mistakes whose neighbours among the training images are sought."""
_CLUSTERS = 4
_CONFUSIONS = 10
_NEIGHBOURS = 5


@dataclass(frozen=True)
class Amounts:
    """How many images an overview is of, at most."""

    correct: int
    mistakes: int
    among: int
    """The training images among which neighbours are sought."""

    @classmethod
    def of(cls, a_kind: int, classes: int) -> "Amounts":
        """As many as there can be from 20 images of each kind on, and of fewer in proportion."""

        def share(most: int) -> int:
            return min(most, most * a_kind // MOST_A_KIND)

        return cls(min(share(_OF_ALL), _OF_A_CLASS * classes), share(_MISTAKES), share(_AMONG))


@dataclass(frozen=True)
class Confusion:
    """Of the images of one class that are taken for another."""

    true: int
    predicted: int
    rows: NDArray[np.intp]
    """Which test images they are."""
    for_predicted: Mean
    for_true: Mean
    """The mean maps of these images, for either class."""


@dataclass(frozen=True)
class Cluster:
    """Mistakes whose maps, for the predicted class, are alike."""

    rows: NDArray[np.intp]
    """Which test images they are."""
    mean: Mean
    pairs: tuple[tuple[tuple[int, int], int], ...]
    """((true, predicted), how many), the most frequent first."""


@dataclass(frozen=True)
class MistakeNeighbours:
    """The training images nearest to mistakes."""

    mistakes: NDArray[np.intp]
    found: Neighbours
    """Rows are those of the training images."""


@dataclass(frozen=True)
class Overview:
    """What one method's maps have in common: by class, by confusion, and by cluster of alike ones."""

    method: str
    classes: dict[int, Mean]
    """Of correct images, by class."""
    confusions: tuple[Confusion, ...]
    """The most frequent first."""
    clusters: tuple[Cluster, ...]
    neighbours: MistakeNeighbours | None
    """None without mistakes, training images or a hidden layer."""
    empty: dict[str, int]
    """Maps that are zero everywhere, of correct images and of mistakes."""
    explained: dict[str, int]
    """Images of either kind."""

    def as_json(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "explained": self.explained,
            "empty": self.empty,
            "confusions": [
                {"true": pair.true, "predicted": pair.predicted, "images": pair.rows.tolist()}
                for pair in self.confusions
            ],
            "clusters": [
                {
                    "images": cluster.rows.tolist(),
                    "pairs": [{"true": true, "predicted": to, "count": count} for (true, to), count in cluster.pairs],
                }
                for cluster in self.clusters
            ],
            "neighbours": [
                {
                    "image": row,
                    "training_images": rows.tolist(),
                    "cosines": [round(float(one), 4) for one in similarity],
                }
                for row, rows, similarity in zip(self.neighbours.mistakes.tolist(), *self.neighbours.found, strict=True)
            ]
            if self.neighbours
            else [],
        }


def overview(
    evaluated: EvaluatedModel, name: str, method: Explain, seed: int, *, a_kind: int = MOST_A_KIND, at_a_time: int = 16
) -> Overview:
    """Explain many images by one method: correct ones for their class, mistakes for both classes.

    Args:
        a_kind: images of each kind that are explained one by one: the more, the more count here, up to 400 correct ones
            (20 of a class), 100 mistakes, and 10,000 training images for their neighbours,
            or 256 MiB of them.
        at_a_time: how many are explained together.
    """
    labels, predicted = evaluated.labels, evaluated.predicted
    amounts = Amounts.of(a_kind, evaluated.probabilities.shape[1])
    right = examples.correct(labels, predicted, amounts.correct, seed)
    wrong = examples.confident_mistakes(labels, evaluated.probabilities, amounts.mistakes)

    def maps(rows: NDArray[np.intp], classes: NDArray[Any]) -> Maps:
        return in_parts(method, at_a_time, evaluated.logits, evaluated.images[rows], classes[rows])

    of_right, for_predicted, for_true = maps(right, labels), maps(wrong, predicted), maps(wrong, labels)
    return Overview(
        name,
        {label: mean_map(of_right[labels[right] == label]) for label in np.unique(labels[right]).tolist()},
        _confusions(evaluated, wrong, for_predicted, for_true),
        _clusters(evaluated, wrong, for_predicted),
        _neighbours(evaluated, wrong, amounts.among),
        {"correct": int(empty(of_right).sum()), "mistakes": int(empty(for_predicted).sum())},
        {"correct": len(right), "mistakes": len(wrong)},
    )


def _pairs(evaluated: EvaluatedModel, rows: NDArray[np.intp]) -> list[tuple[int, int]]:
    return list(zip(evaluated.labels[rows].tolist(), evaluated.predicted[rows].tolist(), strict=True))


def _confusions(
    evaluated: EvaluatedModel, wrong: NDArray[np.intp], for_predicted: Maps, for_true: Maps
) -> tuple[Confusion, ...]:
    pairs = _pairs(evaluated, wrong)
    found = []
    for true, predicted in [pair for pair, _ in Counter(pairs).most_common(_CONFUSIONS)]:
        among = np.array([pair == (true, predicted) for pair in pairs])
        found.append(
            Confusion(true, predicted, wrong[among], mean_map(for_predicted[among]), mean_map(for_true[among]))
        )
    return tuple(found)


def _clusters(evaluated: EvaluatedModel, wrong: NDArray[np.intp], maps: Maps) -> tuple[Cluster, ...]:
    groups = clusters(maps, _CLUSTERS)
    found = []
    for group in range(groups.max(initial=-1) + 1):
        rows = wrong[groups == group]
        found.append(
            Cluster(rows, mean_map(maps[groups == group]), tuple(Counter(_pairs(evaluated, rows)).most_common()))
        )
    return tuple(found)


def _neighbours(evaluated: EvaluatedModel, wrong: NDArray[np.intp], most: int) -> MistakeNeighbours | None:
    part = last_hidden(evaluated.logits)
    if part is None or evaluated.train is None or not len(wrong):
        return None
    among = sample(evaluated.train.images, most)
    mistakes = wrong[:NEAREST_TO]
    found = nearest(part, evaluated.images[mistakes], evaluated.train.images[among], _NEIGHBOURS)
    return MistakeNeighbours(mistakes, Neighbours(among[found.rows], found.similarity))
