"""A model and data of a user's own: what can be told of their files before TensorFlow is imported."""

import zipfile
from collections.abc import Collection
from pathlib import Path

from harness.data.npz import opened
from harness.errors import DataError, RunError

_ARRAYS = (("images", "labels"), ("x_test", "y_test"))


def check(model_file: Path, data_file: Path) -> None:
    """Raise RunError and DataError where one of the files is plainly something else."""
    is_zipped = model_file.suffix == ".keras" and zipfile.is_zipfile(model_file)
    if not is_zipped and model_file.suffix not in (".h5", ".hdf5"):
        raise RunError(f"{model_file} is no .keras file, or a damaged one")
    with opened(data_file, str(data_file)) as file:
        arrays_in(data_file, file)


def arrays_in(path: Path, names: Collection[str]) -> tuple[str, str]:
    """The names of the images and the labels in a file that has arrays of these `names`. Raises DataError."""
    for images, labels in _ARRAYS:
        if {images, labels} <= set(names):
            return images, labels
    raise DataError(f"{path} must hold the arrays images and labels, or x_test and y_test")
