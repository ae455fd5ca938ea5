"""Which test images are shown. All functions return row numbers of the test set."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

ImageRows = NDArray[np.intp]


def choose(
    labels: NDArray[np.int32], probabilities: NDArray[np.float32], count: int, seed: int, named: Sequence[int] = ()
) -> dict[str, ImageRows]:
    """The images that are explained, no image twice: those named; up to `count` correct ones, evenly over the classes;
    up to `count` mistakes, the most confident first; and the `count` of which the model is least sure."""
    chosen = {
        "named": np.array(named, np.intp),
        "correct": correct(labels, probabilities.argmax(axis=1), count, seed),
        "mistakes": confident_mistakes(labels, probabilities, count),
    }
    chosen["unsure"] = least_sure(probabilities, count + sum(map(len, chosen.values())))
    seen: set[int] = set()
    for kind, rows in chosen.items():
        fresh = [row for row in dict.fromkeys(rows.tolist()) if row not in seen]
        chosen[kind] = np.array(fresh[:count] if kind == "unsure" else fresh, np.intp)
        seen.update(chosen[kind].tolist())
    return chosen


def correct(labels: NDArray[np.int32], predicted: NDArray[np.integer[Any]], count: int, seed: int) -> ImageRows:
    """Up to `count` correctly classified images, as evenly over the classes as there are, drawn by `seed`.

    They come in turns: one of each class, then a second of each, and so on.
    """
    random = np.random.default_rng(seed)
    right = random.permutation(np.flatnonzero(labels == predicted))
    turn = np.zeros(len(right), np.int64)
    for label in np.unique(labels[right]):
        of_class = labels[right] == label
        turn[of_class] = np.arange(of_class.sum())
    return right[np.lexsort((labels[right], turn))][:count]


def confident_mistakes(labels: NDArray[np.int32], probabilities: NDArray[np.float32], count: int) -> ImageRows:
    """Up to `count` misclassified images, the one with the highest predicted probability first."""
    wrong = np.flatnonzero(labels != probabilities.argmax(axis=1))
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:count]


def least_sure(probabilities: NDArray[np.float32], count: int) -> ImageRows:
    """The `count` images whose two most probable classes are closest, the closest first."""
    second, first = np.sort(probabilities, axis=1)[:, -2:].T
    return np.argsort(first - second, kind="stable")[:count]


def clearest(labels: NDArray[np.int32], probabilities: NDArray[np.float32]) -> ImageRows:
    """For each class that has images the one with the highest probability of it; classes in order."""
    rows = []
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        rows.append(of_class[probabilities[of_class, label].argmax()])
    return np.array(rows, np.intp)
