"""A data set's name, path or import path → images that are read by row number, and their labels."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from harness.config import Config
from harness.config.data import NAMES, PATHS, DataSection, rows_of, split_source
from harness.data import held_out
from harness.data.files import load as files
from harness.data.formats import cifar, function, idx, npy
from harness.data.formats.given import ARRAYS, Found, Given
from harness.data.images import Images, Stored, aligned, is_mapped, of_mapped, view
from harness.data.labels import FROM_1, recognised
from harness.data.npz import read_arrays
from harness.data.problems import Problems
from harness.data.scale import Scale
from harness.errors import ConfigError, DataError

Builder = Callable[[str, DataSection], Given]
"""What reads a kind of source: the path behind the colon, or nothing, and the section that names it."""

_BUILDERS: dict[str, Builder] = {
    "mnist": lambda path, data: _npz(Path(str(resources.files("harness.data") / "mnist.npz")), data.source),
    "fashion_mnist": lambda path, data: idx.fashion_mnist(path, data.source),
    "cifar10": lambda path, data: cifar.read("cifar10", path, data.source),
    "cifar100": lambda path, data: cifar.read("cifar100", path, data.source),
    "idx": lambda path, data: idx.read(Path(path), data.source),
    "npy": lambda path, data: npy.read(Path(path), data.source),
    "folder": files.read,
    "csv": files.read,
    "tfds": files.read,
    "tfrecord": files.read,
}


@dataclass(frozen=True)
class Split:
    """Images (n, height, width, channels) uint8, in memory or read by row number, and labels (n,) int32."""

    images: Images
    labels: NDArray[np.int32]
    class_names: tuple[str, ...] = ()
    """By label; empty where classes are mere numbers."""
    rows: slice | NDArray[np.int64] = field(default_factory=lambda: slice(None))
    """Which they are of the data set's training images, or of its test images."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class DataSet:
    """Images (n, height, width, channels) uint8, labels (n,) int32 from 0 to classes - 1."""

    x_train: Images
    y_train: NDArray[np.int32]
    x_test: Images
    y_test: NDArray[np.int32]
    sha256: str = ""
    """Stands for the content, see `npz.content_sha256` and `digest.sampled_sha256`; empty where it came from none."""
    class_names: tuple[str, ...] = ()
    """By label; empty where classes are mere numbers."""
    labels_were: str = ""
    """What the labels were made from, in half a sentence, where they weren't numbers from 0."""
    own_validation: int | None = None
    """The last so many training rows are a validation split of the source's own."""
    names: tuple[Sequence[str], Sequence[str]] | None = None
    """What the training and the test images are called in messages; by their rows, where they are not files."""
    left_out: str = ""
    """What of the source may have been meant to be read and isn't, in a sentence."""

    @property
    def classes(self) -> int:
        return len(self.class_names) or int(max(self.y_train.max(), self.y_test.max())) + 1

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        _, height, width, channels = self.x_train.shape
        return height, width, channels

    @property
    def was_from_1(self) -> bool:
        """Whether the source numbers its labels from 1. Version 0.1.0 kept these, and gave its models an output for a
        class 0 that never occurs."""
        return FROM_1 in self.labels_were

    def for_outputs(self, outputs: int) -> Self:
        """The data set as a model with so many outputs was trained on it: its labels from 1 if by version 0.1.0."""
        if not self.was_from_1 or outputs != self.classes + 1:
            return self
        return replace(self, y_train=self.y_train + 1, y_test=self.y_test + 1, class_names=(), labels_were="")

    def split_for(self, config: Config) -> tuple[Split, Split, Split]:
        """Train, validation and test as the config's `data` asks for them. Raises DataError where that can't be."""
        data = config.data
        return self.splits(data.validation, data.stratify, fold=data.fold, subset=data.subset, seed=config.seed)

    def splits(
        self,
        validation: int | str,
        stratify: bool = False,
        *,
        fold: str | None = None,
        subset: int | str | None = None,
        seed: int = 0,
    ) -> tuple[Split, Split, Split]:
        """Train, validation and test; held out are the last `validation` training rows, of all or of each class.

        Args:
            validation: a number of rows, or a share such as "10 %"; where the source has a validation split, that is
                taken instead.
            fold: in place of that, such as "2/5"; see `held_out.fold`.
            subset: so many of the rows that are left, drawn by `seed`, are the training set.

        Raises DataError if no training rows are left, or fewer than asked for.
        """
        count = len(self.y_train)
        out = rows_of(validation, count) if self.own_validation is None else self.own_validation
        kept: slice | NDArray[np.int64] = slice(None, count - out)
        held: slice | NDArray[np.int64] = slice(count - out, None)
        if fold is not None:
            number, folds = map(int, fold.split("/"))
            held = held_out.fold(self.y_train, number, folds, stratify)
            kept = _others(held, count)
        elif out >= count:
            raise DataError(
                f"data.validation: {validation} leaves no training rows of the {count} there are: at most "
                f"{count - 1}, or a share such as 10 %"
            )
        elif stratify and self.own_validation is None:
            held = held_out.last(self.y_train, out, stratify)
            kept = _others(held, count)
        if subset is not None:
            kept = _subset(self.y_train, np.arange(count)[kept], subset, seed)
        return self._part(kept), self._part(held), Split(self.x_test, self.y_test, self.class_names)

    def _part(self, rows: slice | NDArray[np.int64]) -> Split:
        return Split(view(self.x_train, rows), self.y_train[rows], self.class_names, rows)


def load(source: str | DataSection) -> DataSet:
    """The data set that the `source` of the config's section names, or of the section that has it alone.

    A name (`mnist`), a kind and a path (`idx:FOLDER`), the path of an .npz file (Keras's own layout: x_train, y_train,
    x_test, y_test), or the import path of a function that returns a mapping of such arrays, or (train, test), each
    (images, labels) or an object with `__len__`, `labels` and `read(rows)`. Raises DataError where it can't be used.
    """
    data = DataSection(source=source) if isinstance(source, str) else source
    kind, path = split_source(data.source)
    if kind:
        return _checked(data, _BUILDERS[kind](path, data))
    if os.path.isdir(path):
        raise DataError(
            f"data.source: {path} is a folder: write folder:{path} for one of image files in class folders, idx:{path} "
            f"or npy:{path} for one of arrays"
        )
    if "/" in path or os.path.isfile(path):
        return _checked(data, _npz(Path(path), data.source))
    if ":" in path:
        try:
            given = function.read(path, _scale(data))
        except ConfigError as error:
            prefix, _, rest = path.partition(":")
            if meant := get_close_matches(prefix, PATHS, 1, 0.75):
                raise DataError(f"{error}; did you mean {meant[0]}:{rest}?") from None
            raise
        return _checked(data, given)
    raise DataError(
        f"data.source: '{path}' is neither a data set ({', '.join(NAMES)}) nor an .npz file, nor a kind and a path "
        f"({', '.join(f'{kind}:PATH' for kind in PATHS)}), nor an import path such as my_package.data:function"
    )


def check_rows(rows: Sequence[int], count: int) -> None:
    """Raise DataError where one of the rows asked for is none of `count` test images."""
    for row in rows:
        if not 0 <= row < count:
            raise DataError(f"--images {row}: there are {count:,} test images, 0 to {count - 1:,}")


def check_labels(largest: int, classes: int) -> None:
    """Raise DataError where a model of so many classes lacks the one of the largest label."""
    if largest >= classes:
        raise DataError(f"label {largest} is not one of the model's {classes} classes, 0 to {classes - 1}")


def _npz(path: Path, source: str) -> Given:
    (x_train, y_train, x_test, y_test), sha256 = read_arrays(path, ARRAYS, f"data.source: {source}")
    return Given(x_train, y_train, x_test, y_test, sha256)


def _checked(data: DataSection, given: Given) -> DataSet:
    source, scale = data.source, _scale(data)
    problems = Problems(source)
    with problems.noted():
        x_train = _images(source, given.x_train, scale)
    if not problems.found or given.x_train.dtype != given.x_test.dtype:  # what is wrong with both is reported once
        with problems.noted():
            x_test = _images(source, given.x_test, scale)
    if not problems.found and given.x_train.shape[1:] != given.x_test.shape[1:]:
        problems.add(f"train images {given.x_train.shape[1:]}, test images {given.x_test.shape[1:]}")
    counts = [len(found) if found.ndim else 0 for found in (given.x_train, given.x_test)]
    if all(counts):
        with problems.noted():
            labels = recognised(source, given.y_train, given.y_test, (counts[0], counts[1]), given.class_names)
    problems.refuse()
    names = labels.names
    largest = int(max(labels.train.max(), labels.test.max()))
    if names and largest >= len(names):
        raise DataError(f"data.source: {source}: label {largest:,} has none of the {len(names):,} class names")
    return DataSet(
        x_train,
        labels.train,
        x_test,
        labels.test,
        given.sha256,
        names,
        labels.given_as,
        given.own_validation,
        given.names,
        given.left_out,
    )


def _scale(data: DataSection) -> Scale | None:
    return None if data.scale is None else Scale(*data.scale)


def _images(source: str, found: Found, scale: Scale | None) -> Images:
    """Pixels with channels, in memory or not."""
    if isinstance(found, Stored):
        return found
    is_number = found.dtype.kind in "biuf"
    if found.ndim in (3, 4) and not found.size:
        raise DataError(f"data.source: {source}: there are no images: {found.dtype} {found.shape}")
    if found.ndim == 4 and found.shape[1] in (1, 3, 4) and 4 < found.shape[2] == found.shape[3]:
        raise DataError(
            f"data.source: {source}: images {found.shape} have their channels first: give np.moveaxis(x, 1, 3)"
        )
    if found.ndim not in (3, 4) or (found.dtype != np.uint8 and (scale is None or not is_number)):
        how = ""
        if is_number and found.dtype != np.uint8:
            how = ": say with data.scale which of their values are black and white, such as [0, 1] or [0, 65535]"
        raise DataError(
            f"data.source: {source}: images must be uint8 pixels (n, height, width[, channels]), "
            f"not {found.dtype} {found.shape}{how}"
        )
    images = found if found.ndim == 4 else found[..., np.newaxis]
    if not is_mapped(found):
        return aligned(images if scale is None else scale.to_pixels(images, source))
    if scale is None:
        return of_mapped(images)
    values, wanted = images.view(np.ndarray), scale
    height, width, channels = images.shape[1:]
    return Stored(lambda rows: wanted.to_pixels(values[rows], source), range(len(images)), (height, width, channels))


def _others(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    mask = np.ones(count, bool)
    mask[rows] = False
    return np.flatnonzero(mask)


def _subset(labels: NDArray[np.int32], rows: NDArray[np.int64], subset: int | str, seed: int) -> NDArray[np.int64]:
    count = rows_of(subset, len(rows))
    if not 0 < count <= len(rows):
        amount = f"{subset} is {count:,} rows, and" if isinstance(subset, str) else f"{subset}"
        raise DataError(f"data.subset: {amount} must be from 1 to the {len(rows):,} training rows there are")
    return rows[held_out.drawn(labels[rows], count, seed)]
