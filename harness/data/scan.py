"""One look through all pixels of a data set, and what is kept of it."""

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.data.digest import sampled_sha256
from harness.data.files.cache import SCANS, root
from harness.data.images import Images
from harness.data.sources import DataSet
from harness.runs.paths import write_atomically

_CHUNK = 32 * 2**20
"""Bytes of images that are looked at in one go."""
_KEPT_FROM = 256 * 2**20
"""Bytes: what is found in fewer takes less than a second, and isn't kept."""
MOST_AT_A_START = 8 * 2**30
"""Bytes: more would let a training wait for half a minute, and its other workers with it."""


class Scan(NamedTuple):
    """What is kept of each image."""

    digests: NDArray[np.uint64]
    """(n,) equal where all pixels are equal. Of 6 million different images two have the same once in a million sets."""
    contrast: NDArray[np.uint8]
    """(n,) the largest value less the smallest, of the channel where this is most."""

    @classmethod
    def of(cls, images: Images) -> "Scan":
        """Look through images (n, height, width, channels), read in order and a part at a time: 0.2 s for MNIST."""
        digests, contrast = np.zeros(len(images), np.uint64), np.zeros(len(images), np.uint8)
        at = 0
        for part in parts(images):
            digests[at : at + len(part)] = _digests(part)
            contrast[at : at + len(part)] = _contrast(part)
            at += len(part)
        return cls(digests, contrast)

    def at(self, rows: slice | NDArray[np.int64]) -> "Scan":
        return Scan(self.digests[rows], self.contrast[rows])


def scans(
    data: DataSet, say: Callable[[str], None], most: int | None = None, folder: Path | None = None
) -> tuple[Scan, Scan] | None:
    """Of the training and the test images; None where they are more than `most` bytes and weren't looked through yet.

    What is found in many is kept in `folder`, by default that of everything that is kept, and not looked for again
    until the images change. `say` is given a line before that takes long.
    """
    size = data.x_train.nbytes + data.x_test.nbytes
    if size < _KEPT_FROM:
        return Scan.of(data.x_train), Scan.of(data.x_test)
    sampled = sampled_sha256({"x_train": data.x_train, "x_test": data.x_test})
    key = hashlib.sha256(f"{data.sha256} {sampled}".encode()).hexdigest()
    file = (folder or root()) / SCANS / f"{key[:32]}.npz"
    if kept := _read(file, (len(data.x_train), len(data.x_test))):
        return kept
    if most is not None and size > most:
        return None
    say(f"checking {size / 2**30:,.1f} GiB of images once, for duplicates across splits and the like")
    found = Scan.of(data.x_train), Scan.of(data.x_test)
    _write(file, found)
    return found


def parts(images: Images) -> Iterator[NDArray[np.uint8]]:
    """All the images in order, some megabytes at a time."""
    rows = max(1, _CHUNK // int(np.prod(images.shape[1:])))
    for start in range(0, len(images), rows):
        yield np.ascontiguousarray(images[start : start + rows])


def _read(file: Path, counts: tuple[int, int]) -> tuple[Scan, Scan] | None:
    try:
        with file.open("rb") as raw, np.load(raw, allow_pickle=False) as arrays:
            train, test = (Scan(*(arrays[f"{name}_{field}"] for field in Scan._fields)) for name in ("train", "test"))
    except Exception:  # noqa: BLE001  not there, or damaged, over which NumPy stumbles in a dozen ways
        return None
    lengths = [len(array) for scan in (train, test) for array in scan]
    return (train, test) if lengths == [counts[0]] * 2 + [counts[1]] * 2 else None


def _write(file: Path, found: tuple[Scan, Scan]) -> None:
    arrays = {
        f"{name}_{field}": array
        for name, scan in zip(("train", "test"), found, strict=True)
        for field, array in scan._asdict().items()
    }
    content = io.BytesIO()
    np.savez(content, **arrays)
    with suppress(OSError):  # then it is looked for again the next time
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, content.getvalue())


def _digests(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    length = int(np.prod(images.shape[1:]))
    pixels = images.reshape(-1).data
    of_each = (
        hashlib.blake2b(pixels[start : start + length], digest_size=8).digest()
        for start in range(0, len(pixels), length)
    )
    return np.frombuffer(b"".join(of_each), "<u8")


def _contrast(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    contrast = np.zeros(len(images), np.uint8)
    for channel in range(images.shape[3]):  # each by itself and laid out in a row: five times as fast
        pixels = np.ascontiguousarray(images[..., channel]).reshape(len(images), -1)
        contrast = np.maximum(contrast, pixels.max(axis=1) - pixels.min(axis=1))
    return contrast
