"""A data set's name or path → arrays."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.config.data import NAMES
from harness.data.npz import arrays_sha256, read_arrays
from harness.errors import DataError
from harness.imports import load_object, reason

_MOST_CLASSES = 100_000
_FEW_CLASSES, _MOST_UNUSED = 1000, 10
_FROM_0_TO_1 = ": of numbers from 0 to 1 make np.uint8(255 * x)"
_ONE_HOT = ": of one-hot labels make y.argmax(axis=1)"
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True)
class Split:
    """Images (n, height, width, channels) uint8 and labels (n,) int32."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class DataSet:
    """Images (n, height, width, channels) uint8, labels (n,) int32 from 0 to classes - 1."""

    x_train: NDArray[np.uint8]
    y_train: NDArray[np.int32]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.int32]
    sha256: str = ""
    """Stands for the content of its file, see `npz.content_sha256`; empty where it came from none."""

    @property
    def classes(self) -> int:
        return int(max(self.y_train.max(), self.y_test.max())) + 1

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        _, height, width, channels = self.x_train.shape
        return height, width, channels

    def splits(self, validation: int, stratify: bool = False) -> tuple[Split, Split, Split]:
        """Train, validation and test; held out are the last `validation` training rows, of all or of each class.

        Raises DataError if no training rows are left.
        """
        count = len(self.x_train) - validation
        if count < 1:
            raise DataError(
                f"data.validation: {validation} leaves no training rows of the {len(self.x_train)} there are"
            )
        kept: Any = slice(None, count)
        held_out: Any = slice(count, None)
        if stratify:
            held_out = _last_of_each_class(self.y_train, validation)
            kept = ~held_out
        return (
            Split(self.x_train[kept], self.y_train[kept]),
            Split(self.x_train[held_out], self.y_train[held_out]),
            Split(self.x_test, self.y_test),
        )


def load(source: str) -> DataSet:
    """The data set of that name, or of the .npz file at that path (Keras's own layout: x_train, y_train, x_test,
    y_test; images uint8, (n, height, width) or with channels), or what the function of that import path returns: a
    mapping of such arrays, or ((x_train, y_train), (x_test, y_test)). Raises DataError where it can't be used."""
    if source in NAMES:
        path = Path(str(resources.files("harness.data") / f"{source}.npz"))
    elif "/" in source or os.path.isfile(source):
        path = Path(source)
    elif ":" in source:
        return _of_arrays(source, *_called(source))
    else:
        raise DataError(
            f"data.source: '{source}' is neither a data set ({', '.join(NAMES)}) nor an .npz file, nor "
            "an import path such as my_package.data:function"
        )
    return _of_arrays(source, *read_arrays(path, _ARRAYS, f"data.source: {source}"))


def _of_arrays(source: str, arrays: Sequence[NDArray[Any]], sha256: str) -> DataSet:
    x_train, y_train, x_test, y_test = arrays
    _check(source, x_train, y_train)
    _check(source, x_test, y_test)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(f"data.source: {source}: train images {x_train.shape[1:]}, test images {x_test.shape[1:]}")
    _check_numbering(source, y_train, y_test)
    return DataSet(
        _with_channels(x_train), y_train.astype(np.int32), _with_channels(x_test), y_test.astype(np.int32), sha256
    )


def _called(source: str) -> tuple[list[NDArray[Any]], str]:
    """The arrays that a function of the user's own returns, and their digest."""
    given = load_object(source, "data.source")
    if callable(given):
        try:
            given = given()
        except Exception as error:
            raise DataError(f"data.source: {source} fails: {reason(error)}") from error
    try:
        (x_train, y_train), (x_test, y_test) = (
            ((given["x_train"], given["y_train"]), (given["x_test"], given["y_test"]))
            if isinstance(given, Mapping)
            else given
        )
        arrays = [np.asarray(array) for array in (x_train, y_train, x_test, y_test)]
    except (KeyError, TypeError, ValueError):
        raise DataError(
            f"data.source: {source} must give {{{', '.join(_ARRAYS)}}} or ((x_train, y_train), (x_test, y_test)), "
            f"not {type(given).__name__}"
        ) from None
    if any(array.dtype.hasobject for array in arrays):
        raise DataError(f"data.source: {source} must give arrays of numbers, not of Python objects")
    for index in (1, 3):
        if arrays[index].ndim == 2 and arrays[index].shape[1] == 1:  # as keras.datasets.cifar10 has its labels
            arrays[index] = arrays[index][:, 0]
    return arrays, arrays_sha256(dict(zip(_ARRAYS, arrays, strict=True)))


def check_rows(rows: Sequence[int], count: int) -> None:
    """Raise DataError where one of the rows asked for is none of `count` test images."""
    for row in rows:
        if not 0 <= row < count:
            raise DataError(f"--images {row}: there are {count:,} test images, 0 to {count - 1:,}")


def _check(source: str, images: NDArray[Any], labels: NDArray[Any]) -> None:
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not images.size:
        raise DataError(
            f"data.source: {source}: images must be uint8 pixels (n, height, width[, channels]), "
            f"not {images.dtype} {images.shape}{_FROM_0_TO_1 if images.dtype.kind == 'f' else ''}"
        )
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise DataError(
            f"data.source: {source}: labels must be {len(images)} integers, not {labels.dtype} {labels.shape}"
            f"{_ONE_HOT if labels.ndim == 2 and labels.shape[1] > 1 else ''}"
        )
    if labels.min() < 0 or labels.max() >= _MOST_CLASSES:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise DataError(f"data.source: {source}: labels must be from 0 to {_MOST_CLASSES - 1:,}, found {wrong}")


def _check_numbering(source: str, *labels: NDArray[Any]) -> None:
    """A model has an output for each number up to the largest label: numbers of a catalogue would make it huge."""
    occurring = np.unique(np.concatenate([np.unique(of) for of in labels]))
    classes = int(occurring[-1]) + 1
    if classes > _FEW_CLASSES and classes > _MOST_UNUSED * len(occurring):
        raise DataError(
            f"data.source: {source}: labels go up to {classes - 1:,}, which makes {classes:,} classes, and only "
            f"{len(occurring):,} of these occur: number them from 0 to {len(occurring) - 1:,} "
            "(y = np.searchsorted(np.unique(y_train), y))"
        )


def _last_of_each_class(labels: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
    """Which of the rows are held out: `count` in all, of each class its share, rounded by largest remainders."""
    classes, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    shares = count * sizes / len(labels)
    parts = np.floor(shares).astype(int)
    missing = count - int(parts.sum())
    parts[np.argsort(parts - shares, kind="stable")[:missing]] += 1
    held_out = np.zeros(len(labels), bool)
    for number in range(len(classes)):
        rows = np.flatnonzero(index == number)
        held_out[rows[len(rows) - parts[number] :]] = True
    return held_out


def _with_channels(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return images if images.ndim == 4 else images[..., np.newaxis]
