"""IDX files, as MNIST and its kin come in: a folder with those of train and test, gzipped or not."""

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.formats.given import Given
from harness.data.npz import arrays_sha256
from harness.errors import DataError

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""By the third byte of a file; see yann.lecun.com/exdb/mnist."""
_KINDS = {
    "x_train": ("train-images",),
    "y_train": ("train-labels",),
    "x_test": ("t10k-images", "test-images"),
    "y_test": ("t10k-labels", "test-labels"),
}
FASHION_MNIST = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def read(folder: Path, source: str, class_names: tuple[str, ...] = ()) -> Given:
    """The four files of a folder: [t]rain-images-idx3-ubyte[.gz] and so on, with anything before that.

    Raises DataError where one is missing, there are several, or one can't be read.
    """
    if not folder.is_dir():
        raise DataError(f"data.source: {source}: there is no folder {folder}")
    x_train, y_train, x_test, y_test = (_array(_file(folder, kinds, source), source) for kinds in _KINDS.values())
    arrays = (x_train, y_train, x_test, y_test)
    return Given(*arrays, arrays_sha256(dict(zip(_KINDS, arrays, strict=True))), class_names)


def fashion_mnist(path: str, source: str) -> Given:
    """Fashion-MNIST from the folder `path`, or where Debian or Keras have put it. Raises DataError."""
    of_keras = keras_cache() / "fashion-mnist"
    folder = Path(path) if path else next((one for one in (_DEBIAN, of_keras) if one.is_dir()), None)
    if folder is None:
        raise DataError(
            f"data.source: {source} is not on this machine: apt install dataset-fashion-mnist, or put its four "
            f"files, train-images-idx3-ubyte.gz and so on, into {of_keras}, or name their folder, "
            "data.source: fashion_mnist:FOLDER"
        )
    return read(folder, source, FASHION_MNIST)


def keras_cache() -> Path:
    """Where keras.datasets puts what it downloads."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"


def _file(folder: Path, kinds: tuple[str, ...], source: str) -> Path:
    found = sorted(path for kind in kinds for mark in ("-idx", ".idx") for path in folder.glob(f"*{kind}{mark}*"))
    plain = [path for path in found if path.suffix != ".gz"]
    zipped = [path for path in found if path.suffix == ".gz" and path.with_suffix("") not in plain]
    if len(plain + zipped) == 1:
        return (plain + zipped)[0]
    if not found:
        raise DataError(f"data.source: {source}: {folder} has no file {kinds[0]}-idx…-ubyte[.gz]")
    raise DataError(
        f"data.source: {source}: {folder} has several data sets, {', '.join(path.name for path in plain + zipped)}: "
        "give each a folder of its own"
    )


def _array(path: Path, source: str) -> NDArray[Any]:
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise DataError(f"data.source: {source}: {path} is damaged: it can't be unzipped") from None
    except OSError as error:
        raise DataError(f"data.source: {source}: {path} can't be read: {error.strerror}") from None
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _TYPES or len(data) < 4 + 4 * data[3]:
        raise DataError(f"data.source: {source}: {path} is not an IDX file")
    dtype, begin = np.dtype(_TYPES[data[2]]), 4 + 4 * data[3]
    shape = tuple(int(size) for size in np.frombuffer(data[4:begin], ">u4"))
    expected = math.prod(shape) * dtype.itemsize
    if len(data) - begin != expected:
        raise DataError(
            f"data.source: {source}: {path} is damaged: {expected:,} bytes must follow its header, found "
            f"{len(data) - begin:,}"
        )
    return np.frombuffer(data, dtype, offset=begin).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
