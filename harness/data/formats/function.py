"""What a function of the user's own returns: arrays, or objects that give images by row number."""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.digest import sampled_sha256
from harness.data.formats.given import ARRAYS, Found, Given
from harness.data.images import RowNumbers, Stored, is_mapped
from harness.data.npz import arrays_sha256
from harness.data.scale import Scale
from harness.errors import DataError
from harness.imports import load_object, reason


def read(source: str, scale: Scale | None) -> Given:
    """Call what the import path names. Raises DataError where it fails or gives something else."""
    given = load_object(source, "data.source")
    wanted = f"{source} must return" if callable(given) else "the data must be"
    if callable(given):
        try:
            given = given()
        except Exception as error:
            raise DataError(f"data.source: {source} fails: {reason(error)}") from error
    try:
        train, test = (
            ((given["x_train"], given["y_train"]), (given["x_test"], given["y_test"]))
            if isinstance(given, Mapping)
            else given
        )
        (x_train, y_train), (x_test, y_test) = (_pair(part, source, scale) for part in (train, test))
    except (KeyError, TypeError, ValueError):
        raise DataError(
            f"data.source: {wanted} {{{', '.join(ARRAYS)}}}, or (train, test), each (images, labels) or an "
            f"object with __len__, labels and read(rows), not {type(given).__name__}"
        ) from None
    arrays: dict[str, Found] = dict(zip(ARRAYS, (x_train, y_train, x_test, y_test), strict=True))
    in_memory = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
    if any(array.dtype.hasobject for array in in_memory.values()):
        raise DataError(f"data.source: {wanted} arrays of numbers, not of Python objects")
    is_whole = len(in_memory) == 4 and not any(map(is_mapped, in_memory.values()))
    digest = arrays_sha256(in_memory) if is_whole else sampled_sha256(arrays)
    names = tuple(map(str, getattr(train, "class_names", ())))
    return Given(x_train, y_train, x_test, y_test, digest, names)


def _pair(part: Any, source: str, scale: Scale | None) -> tuple[Found, NDArray[Any]]:
    if hasattr(part, "read") and hasattr(part, "labels"):
        return _stored(part, source, scale), _labels(part.labels)
    images, labels = part
    return np.asanyarray(images), _labels(labels)  # asanyarray: a memory-mapped one stays one


def _labels(given: Any) -> NDArray[Any]:
    labels = np.asarray(given)
    if labels.dtype.hasobject and all(isinstance(label, str) for label in labels.flat):  # as pandas has its texts
        return labels.astype(np.str_)
    return labels


def _stored(given: Any, source: str, scale: Scale | None) -> Stored:
    """An object's images, each answer of `read` checked. Raises DataError."""
    what = f"data.source: {source}: {type(given).__name__}.read"
    lock = threading.Lock()  # the pipeline reads from several threads, which the object need not expect

    def called(rows: RowNumbers) -> NDArray[Any]:
        try:
            with lock:
                return np.asarray(given.read(rows))
        except Exception as error:
            raise DataError(f"{what} fails: {reason(error)}") from error

    if not len(given):
        raise DataError(f"data.source: {source}: {type(given).__name__} has no rows")
    first = called(np.zeros(1, np.int64))
    if first.ndim not in (3, 4) or len(first) != 1 or (first.dtype != np.uint8 and scale is None):
        raise DataError(
            f"{what}([0]) must return uint8 pixels (1, height, width[, channels]), not {first.dtype} {first.shape}"
        )
    height, width, channels = (*first.shape[1:], 1)[:3]

    def read(rows: RowNumbers) -> NDArray[np.uint8]:
        images = called(rows)
        if images.shape != (len(rows), *first.shape[1:]) or images.dtype != first.dtype:
            raise DataError(
                f"{what} returned {first.dtype} {first.shape[1:]} for row 0, and for {len(rows)} rows {images.dtype} "
                f"{images.shape}"
            )
        pixels = images if scale is None else scale.to_pixels(images, source)
        return np.ascontiguousarray(pixels.reshape(len(rows), height, width, channels))

    return Stored(read, range(len(given)), (height, width, channels))
