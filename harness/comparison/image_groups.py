"""Which test images are shown: those on which the two models disagree, and a few on which they agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.report import examples
from harness.report.examples import ImageRows

_FEW = 10

GROUPS = {
    "named": "Requested",
    "only_a": "Only A is correct",
    "only_b": "Only B is correct",
    "apart": "Both are wrong, with different predictions",
    "alike": "Both are wrong, with the same prediction",
    "both": "Both are correct",
}


@dataclass(frozen=True)
class Group:
    """Images of one of the GROUPS: those that are shown, and how many there are."""

    rows: ImageRows
    """Of the test set."""
    of: int
    """How many there are in all."""


def choose(
    labels: NDArray[np.int32],
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    count: int,
    seed: int,
    named: Sequence[int] = (),
) -> dict[str, Group]:
    """By the keys of GROUPS up to `count` images each, no image twice.

    Where one is right those come first on whose true class the two differ most in probability; where both are wrong,
    those of which both are surest. Of those on which they agree there are 10 at most: where both are right, evenly over
    the classes, drawn by `seed`.

    Args:
        labels: (n,) the true classes.
        a, b: (n, classes) what each says.
        named: rows that are asked for; all of them are shown.
    """
    predicted_a, predicted_b = a.argmax(axis=1), b.argmax(axis=1)
    right_a, right_b = predicted_a == labels, predicted_b == labels
    every = np.arange(len(labels))
    difference = np.abs(a[every, labels] - b[every, labels])
    sure = np.minimum(a.max(axis=1), b.max(axis=1))
    evenly = examples.correct(labels, np.where(right_a & right_b, labels, -1), len(labels), seed)
    found = {
        "named": np.array(list(dict.fromkeys(named)), np.intp),
        "only_a": _first(right_a & ~right_b, difference),
        "only_b": _first(right_b & ~right_a, difference),
        "apart": _first(~right_a & ~right_b & (predicted_a != predicted_b), sure),
        "alike": _first(~right_a & ~right_b & (predicted_a == predicted_b), sure),
        "both": evenly,
    }
    most = {"named": len(named), **dict.fromkeys(("alike", "both"), min(count, _FEW))}
    return {
        kind: Group(rows[: most.get(kind, count)], len(rows))
        for kind, rows in _without_repeats(found).items()
        if len(rows)
    }


def all_rows(groups: Mapping[str, Group]) -> ImageRows:
    """Those of all groups, in order."""
    return np.concatenate([group.rows for group in groups.values()])


def _first(which: NDArray[np.bool_], most: NDArray[Any]) -> ImageRows:
    rows = np.flatnonzero(which)
    return rows[np.argsort(-most[rows], kind="stable")]


def _without_repeats(found: Mapping[str, ImageRows]) -> dict[str, ImageRows]:
    named = found["named"]
    return {kind: rows if kind == "named" else rows[~np.isin(rows, named)] for kind, rows in found.items()}
