"""A folder of .npy files, of which the images are memory-mapped: they may be larger than the memory."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.digest import sampled_sha256
from harness.data.formats.given import ARRAYS, Given
from harness.data.images import map_file
from harness.errors import DataError


def read(folder: Path, source: str) -> Given:
    """x_train.npy, y_train.npy, x_test.npy and y_test.npy. Raises DataError where one is missing or no array."""
    missing = [f"{name}.npy" for name in ARRAYS if not (folder / f"{name}.npy").is_file()]
    if missing:
        raise DataError(f"data.source: {source}: {folder} has no {', '.join(missing)}")
    x_train, y_train, x_test, y_test = (_array(folder / f"{name}.npy", source) for name in ARRAYS)
    arrays = (x_train, np.array(y_train), x_test, np.array(y_test))
    return Given(*arrays, sha256=sampled_sha256(dict(zip(ARRAYS, arrays, strict=True))))


def _array(path: Path, source: str) -> NDArray[Any]:
    try:
        return map_file(path)
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        OverflowError,
    ):  # of a head that is none, or of too short a file
        raise DataError(f"data.source: {source}: {path} is not a .npy file of numbers, or is damaged") from None
