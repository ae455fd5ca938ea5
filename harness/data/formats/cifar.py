"""CIFAR-10 and CIFAR-100 in their Python version, as keras.datasets keeps them: an archive, or what it holds."""

import io
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.data.formats.given import Given
from harness.data.formats.idx import keras_cache
from harness.data.npz import arrays_sha256
from harness.errors import DataError


class _Set(NamedTuple):
    archive: str
    folder: str
    """In the archive."""
    train: tuple[str, ...]
    test: str
    names: str
    """The file with the classes' names."""
    label_key: str
    name_key: str


_SETS = {
    "cifar10": _Set(
        "cifar-10-python.tar.gz",
        "cifar-10-batches-py",
        tuple(f"data_batch_{number}" for number in range(1, 6)),
        "test_batch",
        "batches.meta",
        "labels",
        "label_names",
    ),
    "cifar100": _Set(
        "cifar-100-python.tar.gz",
        "cifar-100-python",
        ("train",),
        "test",
        "meta",
        "fine_labels",
        "fine_label_names",
    ),
}


def read(name: str, path: str, source: str) -> Given:
    """cifar10 or cifar100 from the archive or folder `path`, or from Keras's cache. Raises DataError."""
    of = _SETS[name]
    cache = keras_cache()
    places = [
        cache / f"{of.folder}-target",
        cache / f"{of.folder}-target_archive",
        cache / of.folder,
        cache / of.archive,
    ]
    found = Path(path) if path else next((place for place in places if place.exists()), None)
    if found is None:
        raise DataError(
            f"data.source: {source} is not on this machine, and nothing is downloaded: put {of.archive}, from "
            f"cs.toronto.edu/~kriz/cifar.html, into {cache}, or name its path, data.source: {name}:PATH"
        )
    files = _files(found, of, source)
    wanted = (*of.train, of.test, of.names)
    if lacking := [file for file in wanted if file not in files]:
        raise DataError(f"data.source: {source}: {found} has no {', '.join(lacking)}: is it {of.archive}?")
    contents = {file: _unpickled(files[file], f"data.source: {source}: {found}: {file}") for file in wanted}
    try:
        batches = {file: (_images(contents[file]), contents[file][of.label_key]) for file in (*of.train, of.test)}
        names = tuple(map(str, contents[of.names][of.name_key]))
        x_train = np.concatenate([batches[file][0] for file in of.train])
        y_train = np.concatenate([np.asarray(batches[file][1], np.int32) for file in of.train])
        x_test, y_test = batches[of.test][0], np.asarray(batches[of.test][1], np.int32)
    except (KeyError, TypeError, ValueError):
        raise DataError(f"data.source: {source}: {found} is not {of.archive}, or is damaged") from None
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    return Given(x_train, y_train, x_test, y_test, arrays_sha256(arrays), names)


def _files(path: Path, of: _Set, source: str) -> dict[str, bytes]:
    """The content of the files that are wanted, by name."""
    wanted = {*of.train, of.test, of.names}
    with _reading(path, source):
        if path.is_dir():
            folder = path / of.folder if (path / of.folder).is_dir() else path
            return {file.name: file.read_bytes() for file in folder.iterdir() if file.name in wanted}
        found = {}
        with tarfile.open(path) as archive:
            for member in archive:
                name = Path(member.name).name
                if name in wanted and (content := archive.extractfile(member)):
                    found[name] = content.read()
        return found


@contextmanager
def _reading(path: Path, source: str) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error):
        raise DataError(f"data.source: {source}: {path} is not a readable archive, or is damaged") from None
    except OSError as error:
        why = f"can't be read: {error.strerror}" if error.strerror else "is a damaged archive"
        raise DataError(f"data.source: {source}: {path} {why}") from None


class _Unpickler(pickle.Unpickler):
    """Of NumPy's arrays alone: a pickle may name any function, and have it called."""

    _ALLOWED = (("_reconstruct", "multiarray"), ("ndarray", "numpy"), ("dtype", "numpy"), ("encode", "_codecs"))

    def find_class(self, module: str, name: str) -> Any:
        if (name, module.rpartition(".")[2]) in self._ALLOWED:
            # Of NumPy 1, which wrote these files, by a name that NumPy 2 has moved.
            module = "numpy._core.multiarray" if name == "_reconstruct" else module
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name}")


def _unpickled(data: bytes, what: str) -> dict[str, Any]:
    try:
        content = _Unpickler(io.BytesIO(data), encoding="bytes").load()
        return {key.decode() if isinstance(key, bytes) else str(key): _text(value) for key, value in content.items()}
    except Exception:  # noqa: BLE001  a damaged pickle fails in a dozen ways
        raise DataError(f"{what} is damaged, or holds more than arrays") from None


def _text(value: Any) -> Any:
    is_texts = isinstance(value, list) and value and isinstance(value[0], bytes)
    return [text.decode() for text in value] if is_texts else value


def _images(batch: dict[str, Any]) -> NDArray[np.uint8]:
    data = np.asarray(batch["data"])
    if data.dtype != np.uint8:
        raise ValueError
    return np.ascontiguousarray(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
