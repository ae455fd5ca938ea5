"""A user's own model, data and pictures: what can be told of their files before TensorFlow is imported."""

import os
import zipfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from harness.data import picture_formats
from harness.data.npz import opened
from harness.errors import DataError, RunError

_ARRAYS = (("images", "labels"), ("x_test", "y_test"))
_PICTURES = picture_formats.suffixes(picture_formats.OWN)


def check(model_file: Path, data_file: Path) -> None:
    """Raise RunError and DataError where one of the files is plainly something else."""
    is_zipped = model_file.suffix == ".keras" and zipfile.is_zipfile(model_file)
    if not is_zipped and model_file.suffix not in (".h5", ".hdf5"):
        raise RunError(f"{model_file} is not a .keras file, or is damaged")
    with opened(data_file, str(data_file)) as file:
        arrays_in(data_file, file)


def arrays_in(path: Path, names: Collection[str]) -> tuple[str, str]:
    """The names of the images and the labels in a file that has arrays of these `names`. Raises DataError."""
    for images, labels in _ARRAYS:
        if {images, labels} <= set(names):
            return images, labels
    raise DataError(f"{path} must hold the arrays images and labels, or x_test and y_test")


def pictures_in(paths: Sequence[Path]) -> list[Path]:
    """The files among `paths`, and those in its folders, at any depth, whose names end as a picture's; in the order
    given and by name in a folder, without what is hidden. Raises DataError where there are none, or one given is
    something else, such as a named pipe, which would be waited for."""
    if odd := [path for path in paths if path.exists() and not path.is_dir() and not path.is_file()]:
        raise DataError(f"{readable(odd[0])} is neither a file nor a folder")
    found = [file for path in paths for file in (_walked(path) if path.is_dir() else [path])]
    if not found:
        raise DataError(f"there is no picture in {', '.join(map(readable, paths))}: looked for {', '.join(_PICTURES)}")
    return found


def readable(name: str | Path) -> str:
    """A file's name with � for what is not UTF-8, which neither a page nor JSON can hold."""
    return os.fsencode(name).decode(errors="replace")


def _walked(folder: Path) -> Iterator[Path]:
    for inside in sorted(folder.iterdir()):
        if inside.name.startswith("."):
            continue
        if inside.is_dir() and not inside.is_symlink():  # a link may lead back up
            yield from _walked(inside)
        elif inside.suffix.lower() in _PICTURES and (inside.is_file() or not inside.exists()):
            yield inside
