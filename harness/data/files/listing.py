"""What a source of image files lists before anything is decoded: where each image lies, its class and its split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.config.data import rows_of
from harness.data.files.decode import Reference
from harness.errors import DataError

SPLITS = ("train", "validation", "test")
FILES_AT_A_BEAT = 1000
"""So many files are looked at between two signs of life to `harness launch`: on a slow network disk some seconds."""
_MOST_NAMED = 10
_LONGEST = 500
"""Characters: a CSV file with an open quote is one path to its end."""


@dataclass(frozen=True)
class Listing:
    """n images, in an order that depends on their names alone."""

    source: str
    """As the config names it."""
    files: list[tuple[str, int, int]]
    """Name, bytes and time of change (ns) of each file that is read."""
    references: list[Reference]
    names: list[str]
    """What each image is called in messages."""
    labels: NDArray[np.int32]
    """(n,), from 0."""
    class_names: tuple[str, ...]
    splits: NDArray[np.int8] | None
    """(n,), numbers in SPLITS, where the files say which image is for what."""
    left_out: str = ""
    """Which files are passed over that may have been meant as images, in a sentence; empty where there are none."""

    @property
    def paths(self) -> list[str]:
        """The files that hold images, each once, in the images' order."""
        return list(dict.fromkeys(each if isinstance(each, str) else each[0] for each in self.references))


def numbered(labels: Sequence[int | str]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Labels as numbers from 0, and what each stands for: numbers by value, names in alphabetical order."""
    values = sorted(set(labels), key=lambda label: (isinstance(label, str), label))
    number = {label: index for index, label in enumerate(values)}
    return np.array([number[label] for label in labels], np.int32), tuple(map(str, values))


def in_short(problems: Sequence[str]) -> str:
    """The first ten and how many more there are, in one line."""
    return "; ".join(_first(problems))


def one_a_line(problems: Sequence[str]) -> str:
    """As `in_short`, each in a line of its own below what is said before; a single one behind it."""
    if len(problems) == 1:
        return f" {problems[0]}"
    return "".join(f"\n  {line}" for line in _first(problems))


def _first(problems: Sequence[str]) -> list[str]:
    more = len(problems) - _MOST_NAMED
    shown = [text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text in problems[:_MOST_NAMED]]
    return [*shown, *([f"and {more:,} more"] if more > 0 else [])]


def check(listing: Listing) -> None:
    """Raise DataError where a class has no image to train on."""
    if listing.splits is None:
        return
    train = np.bincount(listing.labels[listing.splits == 0], minlength=len(listing.class_names))
    if missing := [name for name, count in zip(listing.class_names, train, strict=True) if not count]:
        raise DataError(
            f"data.source: {listing.source}: no training image of {len(missing)} of {len(listing.class_names)} "
            f"classes: {in_short(missing)}: add some to train, or take the class out of the other splits"
        )


def spread(labels: NDArray[np.int32], seed: int) -> NDArray[np.int64]:
    """An order of the rows drawn by `seed`, in which every stretch, and so its end, has of each class its share.

    The rows of a class are shuffled, and the i-th of n is placed at (i + u) / n of the whole, u drawn for the class.
    """
    draws = np.random.PCG64(seed)  # its raw output, unlike Generator's methods, stays the same in every version
    keys = draws.random_raw(len(labels))
    counts = np.bincount(labels)
    offsets = draws.random_raw(len(counts)) / 2.0**64
    by_class = np.lexsort((keys, labels))
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    place = (rank + np.repeat(offsets, counts)) / np.repeat(np.maximum(counts, 1), counts)
    return by_class[np.argsort(place, kind="stable")]


def split_rows(listing: Listing, test: int | str, seed: int) -> tuple[NDArray[np.int64], ...]:
    """The rows of train, validation and test; of validation none where the files name none.

    Where they name none for test, that is `test` of those that would be for training, of each class its share.
    Raises DataError where that leaves none to train or to test on.
    """
    given = np.zeros(len(listing.labels), np.int8) if listing.splits is None else listing.splits
    rows = [np.flatnonzero(given == number) for number in range(len(SPLITS))]
    rows[0] = rows[0][spread(listing.labels[rows[0]], seed)]
    if not len(rows[2]):
        count = rows_of(test, len(rows[0]))
        if not 0 < count < len(rows[0]):
            raise DataError(
                f"data.test: {test} of {len(rows[0]):,} images leaves none to {'train on' if count else 'test on'}"
            )
        rows[0], rows[2] = rows[0][:-count], rows[0][-count:]
    return tuple(rows)
