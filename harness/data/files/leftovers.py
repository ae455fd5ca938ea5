"""What was decoded before images turned out to be unreadable: for the next start, which finds them fixed or gone.

Its files are then others, and so is its entry in the cache; the rows of files that are the same are copied into it.
"""

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.cluster.heartbeat import Heartbeat
from harness.data.files import cache
from harness.data.files.listing import FILES_AT_A_BEAT, Listing

ROWS = "rows.npy"
"""In a folder of the cache: of each image what tells whether its file is still the same, (n,) uint64."""
_BLOCKS_AT_A_SYNC = 256


class Leftover(NamedTuple):
    """An entry that was given up."""

    name: str
    rows: NDArray[np.uint64]
    """As in ROWS."""


def keep(folder: Path, listing: Listing) -> None:
    """Note in the entry which files its rows are of."""
    np.save(folder / ROWS, _digests(listing))


def find(key: str, listing: Listing, plan: dict[str, Any]) -> Leftover | None:
    """What another entry than `key` has left of these images, decoded in the same way. Where the disk has no room for
    both, that is removed."""
    alike = ("source", "decoding", "block_rows")
    for noted in cache.root().glob(f"*/{ROWS}"):
        try:
            old: dict[str, Any] = json.loads((noted.parent / cache.PLAN).read_bytes())
            if noted.parent.name == key or old["shape"][1:] != plan["shape"][1:]:
                continue
            if all(json.dumps(old[name]) == json.dumps(plan[name]) for name in alike):
                left = Leftover(noted.parent.name, np.load(noted))
                return left if _has_room_beside(left, plan["shape"]) else None
        except (OSError, ValueError, KeyError):  # cleared meanwhile, or damaged
            continue
    return None


def head_of(left: Leftover, row_bytes: int) -> int:
    """Bytes before the first of its rows."""
    return (cache.root() / left.name / cache.PARTIAL).stat().st_size - len(left.rows) * row_bytes


def copied(
    left: Leftover,
    good_blocks: Sequence[int],
    listing: Listing,
    plan: dict[str, Any],
    partial: Path,
    missing: Sequence[int],
) -> Iterator[tuple[int, int]]:
    """Copy what can be: of each block of the new entry that is whole then, its number and CRC-32.

    Args:
        good_blocks: those of the leftover that hold no unreadable image.
        listing, plan: of the new entry, whose rows are like the old ones.
        partial: its file, in which all rows have their place.
        missing: its blocks that are to be filled.
    """
    block_rows, (count, *shape) = plan["block_rows"], plan["shape"]
    row_bytes = int(np.prod(shape, dtype=np.int64))
    old_head, head = head_of(left, row_bytes), partial.stat().st_size - count * row_bytes
    good = np.flatnonzero(np.isin(np.arange(len(left.rows)) // block_rows, good_blocks))
    good = good[np.argsort(left.rows[good], kind="stable")]
    known, wanted, heartbeat = left.rows[good], _digests(listing), Heartbeat()
    if not len(good):
        return
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    found = known[at] == wanted
    with (cache.root() / left.name / cache.PARTIAL).open("rb") as old, partial.open("r+b") as new:
        for number, block in enumerate(missing):
            rows = slice(block * block_rows, (block + 1) * block_rows)
            if not found[rows].all():
                continue
            crc = 0
            new.seek(head + rows.start * row_bytes)
            for row in good[at[rows]].tolist():
                old.seek(old_head + row * row_bytes)
                pixels = old.read(row_bytes)
                new.write(pixels)
                crc = zlib.crc32(pixels, crc)
            new.flush()
            if number % _BLOCKS_AT_A_SYNC == 0:
                os.fsync(new.fileno())
            yield block, crc
            heartbeat.beat()


def _has_room_beside(left: Leftover, shape: list[int]) -> bool:
    if shutil.disk_usage(cache.root()).free >= np.prod(shape, dtype=np.int64):
        return True
    cache.remove(left.name)
    return False


def _digests(listing: Listing) -> NDArray[np.uint64]:
    """By the state of the file, and of a record by its place in it."""
    digests, states = np.empty(len(listing.references), np.uint64), _states(listing)
    for row, reference in enumerate(listing.references):
        path, *place = (reference,) if isinstance(reference, str) else reference
        digest = hashlib.blake2b(json.dumps([path, *states[path], *place]).encode(), digest_size=8).digest()
        digests[row] = np.frombuffer(digest, np.uint64)[0]
    return digests


def _states(listing: Listing) -> dict[str, tuple[int, int, int]]:
    """By path: size, time, and the time at which the system noted a change, which no copying sets back."""
    states, heartbeat = {}, Heartbeat()
    for number, path in enumerate(listing.paths):
        try:
            state = os.stat(path)
            states[path] = (state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        except OSError:  # removed meanwhile
            states[path] = (0, 0, 0)
        if number % FILES_AT_A_BEAT == 0:
            heartbeat.beat()
    return states
