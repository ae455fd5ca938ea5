"""A source of image files → its images, decoded and mapped into memory."""

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.config.data import DataSection, split_source
from harness.data.files import folders, table, tfds, tfrecords
from harness.data.files.decode import Decoding
from harness.data.files.fill import decoded
from harness.data.files.listing import Listing, check, split_rows
from harness.data.formats.given import Given
from harness.data.images import of_mapped
from harness.data.problems import Problems

_LISTINGS: dict[str, Callable[[DataSection], Listing]] = {
    "folder": lambda data: folders.listing(data.source),
    "csv": lambda data: table.listing(data.source),
    "tfds": lambda data: tfds.listing(data.source),
    "tfrecord": lambda data: tfrecords.listing(data.source, data.image_feature, data.label_feature),
}


@dataclass(frozen=True)
class ImageFiles:
    """n images of a source, all decoded, and which of them are for which split."""

    images: NDArray[np.uint8]
    """(n, height, width, channels), mapped into memory; of all splits."""
    labels: NDArray[np.int32]
    """(n,)"""
    class_names: tuple[str, ...]
    names: list[str]
    """What each image is called in messages."""
    rows: tuple[NDArray[np.int64], ...]
    """Of train, validation and test; of validation none where the files name none."""
    sha256: str
    """Stands for pixels, labels and splits."""
    left_out: str = ""
    """As the listing has it."""


def read(path: str, data: DataSection) -> Given:
    """What the section's source gives, the images read by row number.

    Raises DataError where they can't be used, UserError and WriteFailed where the cache can't be written.

    How far decoding is, where there is something to decode, is printed on standard error.
    """
    found = load(data, lambda line: print(line, file=sys.stderr, flush=True))
    images = of_mapped(found.images)
    train, validation, test = found.rows
    rows = np.concatenate([train, validation])
    return Given(
        images.view(rows),
        found.labels[rows],
        images.view(test),
        found.labels[test],
        found.sha256,
        found.class_names,
        len(validation) or None,
        ([found.names[row] for row in rows], [found.names[row] for row in test]),
        found.left_out,
    )


def load(data: DataSection, say: Callable[[str], None]) -> ImageFiles:
    """The images of the section's source, decoded into the cache. `say` is given a line about what is
    being done, if anything is.

    Raises DataError where images can't be read or don't go together, UserError where the cache can't be written or has
    no room, WriteFailed where that comes in the middle.
    """
    kind, _ = split_source(data.source)
    listing = _LISTINGS[kind](data)
    problems = Problems(data.source)
    with problems.noted():
        check(listing)
    size = (data.size[0], data.size[1]) if data.size else None
    decoding = Decoding(size, data.resize, data.channels, data.scale)
    with problems.noted():
        images, digest = decoded(listing, decoding, say)
    with problems.noted():
        rows = split_rows(listing, data.test, data.split_seed)
    problems.refuse()
    parts = hashlib.sha256(digest.encode())
    for array in (listing.labels, *rows):
        parts.update(np.ascontiguousarray(array).tobytes())
    parts.update(repr(listing.class_names).encode())
    return ImageFiles(
        images, listing.labels, listing.class_names, listing.names, rows, parts.hexdigest(), listing.left_out
    )
