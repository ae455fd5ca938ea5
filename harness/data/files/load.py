"""A source of image files → its images, decoded and mapped into memory."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.config.data import DataSection
from harness.data.files import folders, table, tfrecords
from harness.data.files.decode import Decoding
from harness.data.files.fill import decoded
from harness.data.files.listing import Listing, check, split_rows

_LISTINGS: dict[str, Callable[[DataSection], Listing]] = {
    "folder:": lambda data: folders.listing(data.source),
    "csv:": lambda data: table.listing(data.source),
    "tfrecord:": lambda data: tfrecords.listing(data.source, data.image_feature, data.label_feature),
}
PREFIXES = tuple(_LISTINGS)


@dataclass(frozen=True)
class ImageFiles:
    images: NDArray[np.uint8]
    """(n, height, width, channels), mapped into memory; of all splits."""
    labels: NDArray[np.int32]
    """(n,)"""
    class_names: tuple[str, ...]
    rows: tuple[NDArray[np.int64], ...]
    """Of train, validation and test; of validation none where the files name none."""
    sha256: str
    """Stands for pixels, labels and splits."""


def load(data: DataSection, say: Callable[[str], None]) -> ImageFiles:
    prefix = next(prefix for prefix in PREFIXES if data.source.startswith(prefix))
    listing = _LISTINGS[prefix](data)
    check(listing)
    height, width = (data.size, data.size) if isinstance(data.size, int) else data.size or (0, 0)
    decoding = Decoding((height, width) if height else None, data.resize, data.channels)
    images, digest = decoded(listing, decoding, say)
    rows = split_rows(listing, data.test_share, data.split_seed)
    parts = hashlib.sha256(digest.encode())
    for array in (listing.labels, *rows):
        parts.update(np.ascontiguousarray(array).tobytes())
    parts.update(repr(listing.class_names).encode())
    return ImageFiles(images, listing.labels, listing.class_names, rows, parts.hexdigest())
