"""Files decoded once into the cache, by all processors, and from then on mapped into memory."""

import errno
import hashlib
import json
import os
import shutil
import time
import zlib
from collections import Counter
from collections.abc import Callable, Container
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.cluster.heartbeat import Heartbeat
from harness.data.files import cache, leftovers
from harness.data.files.cache_key import key_of
from harness.data.files.decode import Decoding
from harness.data.files.listing import Listing, in_short, one_a_line
from harness.data.files.pool import answers
from harness.data.files.progress import DecodingProgress
from harness.data.problems import Problems
from harness.errors import DataError, WriteFailed
from harness.runs.paths import write_atomically

_BLOCK_ROWS, _BLOCK_BYTES = 256, 4 * 2**20
_JOB_ROWS = 512
"""Headers read in one job."""
_BLOCKS_AT_A_SYNC = 256
"""Up to 1 GiB: written to the disk now and then, so that the last write takes no longer than a sign of life may."""
_FIX = "set data.size, such as data.size: {0}, and data.resize if you don't want a crop"


def decoded(listing: Listing, decoding: Decoding, say: Callable[[str], None]) -> tuple[NDArray[np.uint8], str]:
    """The images of a listing, (n, height, width, channels) uint8 mapped into memory, and a digest of their pixels.

    Args:
        say: is given a line about what is being done, if anything is.

    Raises:
        DataError: images can't be read, or differ in size or colour where the decoding doesn't say what to make of it.
        UserError: the cache can't be written, or there is no room for the images; this start decodes nothing.
        WriteFailed: it can't be written any more; what was decoded stays for the next start.
        HarnessError: a process that decodes has died.
    """
    key = key_of(listing, decoding)
    if decoding.scale is not None:
        unscaled = key_of(listing, replace(decoding, scale=None))
        if cache.contents(unscaled) is not None:  # which proves that no file has 16 bits: the scale is for none
            key = unscaled
    with cache.disk_errors_in_one_line():
        while True:
            cache.hold(key)
            images = cache.verified(key)
            if images is not None:
                return images, _digest(cache.contents(key) or {})
            with cache.exclusive(key, wait=True, say=say):
                cache.hold(key)
                if cache.contents(key) is not None and cache.verified(key) is None:
                    say(f"the decoded images of {listing.source} are damaged in the cache: decoding them again")
                    for name in (cache.PLAN, cache.CONTENTS, cache.IMAGES):  # in this order, if it is killed here
                        (cache.root() / key / name).unlink(missing_ok=True)
                if cache.contents(key) is None:
                    try:
                        entry = _prepare(key, listing, decoding, say)
                        with cache.disk_errors_in_one_line(WriteFailed):
                            _fill(entry, listing, decoding, say)
                    finally:
                        if not any((cache.root() / key / name).exists() for name in (cache.PLAN, cache.CONTENTS)):
                            shutil.rmtree(cache.root() / key, ignore_errors=True)  # nothing to go on with


def _digest(contents: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps([contents["shape"], contents["crcs"]]).encode()).hexdigest()


class _Unfilled(NamedTuple):
    """A folder of the cache with room for all images."""

    folder: Path
    plan: dict[str, Any]
    head: int
    """Bytes of its file before the first image."""
    left: leftovers.Leftover | None


def _prepare(key: str, listing: Listing, decoding: Decoding, say: Callable[[str], None]) -> _Unfilled:
    folder = cache.root() / key
    plan = _plan(folder, listing, decoding, say)
    partial = folder / cache.PARTIAL
    if (folder / cache.DONE).exists() and not partial.exists() and (folder / cache.IMAGES).exists():
        (folder / cache.IMAGES).replace(partial)  # killed when all that was missing was what is written of them
    left = leftovers.find(key, listing, plan)
    return _Unfilled(folder, plan, _reserved(partial, plan["shape"]), left)


def _fill(entry: _Unfilled, listing: Listing, decoding: Decoding, say: Callable[[str], None]) -> None:
    folder, plan, head, left = entry
    partial = folder / cache.PARTIAL
    count, height, width, channels = plan["shape"]
    rows = plan["block_rows"]
    row_bytes = height * width * channels
    crcs = _done(folder, head, rows * row_bytes)
    crcs |= _copied(left, folder, listing, plan, crcs)
    blocks = [block for block in range(-(-count // rows)) if block not in crcs]
    ready = count - sum(_rows_in(block, rows, count) for block in blocks)
    if crcs:
        say(f"resuming with the images decoded before: {ready:,} of {count:,}")
    whole = replace(decoding, size=(height, width), channels=channels)
    jobs = [
        {
            "do": "decode",
            "references": listing.references[block * rows : (block + 1) * rows],
            "decoding": whole.as_dict(),
            "file": str(partial),
            "offset": head + block * rows * row_bytes,
        }
        for block in blocks
    ]
    unreadable: dict[int, str] = {}
    what = f"decoding {len(listing.references):,} images into the cache ({count * row_bytes / 1e6:,.0f} MB)"
    with (
        (folder / cache.DONE).open("a", encoding="utf-8") as done,
        DecodingProgress(what, count, ready, say) as progress,
        partial.open("rb") as file,
        closing(answers(jobs)) as answered,
    ):
        for number, answer in answered:
            block = blocks[number]
            if "failed" in answer:
                raise WriteFailed(
                    f"the cache of decoded images, {partial}: {answer['failed']}: once that is fixed, or with "
                    "HARNESS_CACHE set to a folder on another disk, start again"
                )
            unreadable |= {block * rows + index: reason for index, reason in answer["unreadable"]}
            if not answer["unreadable"]:  # so that one that goes on looks at it again
                crcs[block] = answer["crc"]
                done.write(json.dumps([block, answer["crc"]]) + "\n")
                done.flush()
            if len(crcs) % _BLOCKS_AT_A_SYNC == 0:
                os.fsync(file.fileno())
            progress.advance(_rows_in(block, rows, count))
        os.fsync(file.fileno())
    if unreadable:
        _give_up(folder, listing, bool(crcs))
        raise _unreadable(listing, unreadable)
    partial.replace(folder / cache.IMAGES)
    contents = {**plan, "crcs": [crcs[block] for block in range(len(crcs))]}
    write_atomically(folder / cache.CONTENTS, json.dumps(contents).encode())
    for name in (cache.PLAN, cache.DONE, leftovers.ROWS):
        (folder / name).unlink(missing_ok=True)


def _plan(folder: Path, listing: Listing, decoding: Decoding, say: Callable[[str], None]) -> dict[str, Any]:
    """Shape and blocks of the entry: those that were begun with, or new ones."""
    try:
        plan: dict[str, Any] = json.loads((folder / cache.PLAN).read_bytes())
    except (OSError, ValueError):
        height, width, channels = _shape(listing, decoding, say)
        rows = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // (height * width * channels)))
        plan = {
            "source": listing.source,
            "shape": [len(listing.references), height, width, channels],
            "block_rows": rows,
            "decoding": decoding.as_dict(),
            "created": time.time(),
        }
        (folder / cache.DONE).unlink(missing_ok=True)
        write_atomically(folder / cache.PLAN, json.dumps(plan).encode())
    return plan


def _shape(listing: Listing, decoding: Decoding, say: Callable[[str], None]) -> tuple[int, int, int]:
    """Height, width and channels that the images are to have, or all have."""
    if decoding.size is not None and decoding.channels is not None:
        return *decoding.size, decoding.channels
    starts = range(0, len(listing.references), _JOB_ROWS)
    jobs = [{"do": "shapes", "references": listing.references[at : at + _JOB_ROWS]} for at in starts]
    sizes: Counter[tuple[int, int]] = Counter()
    channels: Counter[int] = Counter()
    example: dict[int, str] = {}
    unreadable: dict[int, str] = {}
    what = f"looking at the sizes of {len(listing.references):,} images"
    with DecodingProgress(what, len(listing.references), 0, say) as progress, closing(answers(jobs)) as answered:
        for number, answer in answered:
            unreadable |= {starts[number] + index: reason for index, reason in answer["unreadable"]}
            for index, shape in enumerate(answer["shapes"]):
                if shape is not None:
                    sizes[shape[0], shape[1]] += 1
                    channels[shape[2]] += 1
                    example.setdefault(shape[2], listing.names[starts[number] + index])
            progress.advance(len(answer["shapes"]))
    if not sizes:
        raise _unreadable(listing, unreadable)
    # Unreadable ones are left to the decoding, which finds the truncated ones too, but where it comes to none.
    problems = Problems(listing.source)
    if decoding.size is None and len(sizes) > 1:
        counts = in_short([f"{height}×{width} ({count:,})" for (height, width), count in sizes.most_common()])
        usual = min(sizes.most_common(1)[0][0])
        problems.add(f"images of {len(sizes):,} sizes, height×width: {counts}: {_FIX.format(usual)}")
    if decoding.channels is None and len(channels) > 1:
        problems.add(
            f"{channels[1]:,} grey images ({example[1]}, …) and {channels[3]:,} in "
            f"colour ({example[3]}, …): set data.channels: 3 to take all in colour, or 1 in grey"
        )
    if unreadable and problems.found:
        problems.add(_unreadable_message(listing, unreadable))
    problems.refuse()
    height, width = decoding.size or next(iter(sizes))
    return height, width, decoding.channels or next(iter(channels))


def _reserved(partial: Path, shape: list[int]) -> int:
    """Make the file of an array of that shape, unless it is there, with all the room that it takes on the disk: bytes
    of its header."""
    size = int(np.prod(shape, dtype=np.int64))
    with cache.disk_errors_in_one_line(size=size):
        if not partial.exists():
            beside, plan = partial.with_suffix(".new"), partial.parent / cache.PLAN
            # Looked at first, as reserving takes all that there is before it fails.
            if shutil.disk_usage(partial.parent).free < size:
                plan.unlink()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(beside))
            with beside.open("wb") as file:
                np.lib.format.write_array_header_1_0(
                    file, {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)}
                )
                file.flush()
                try:
                    os.posix_fallocate(file.fileno(), 0, file.tell() + size)
                except OSError as error:
                    plan.unlink()
                    raise OSError(error.errno, error.strerror, str(beside)) from None
            beside.replace(partial)
    return partial.stat().st_size - size


def _done(folder: Path, head: int, block_bytes: int) -> dict[int, int]:
    """By block the CRC-32 of those decoded before, as far as the file holds them: after a power cut it may not."""
    found: dict[int, int] = {}
    if not (folder / cache.DONE).exists():
        return found
    heartbeat = Heartbeat()
    with (folder / cache.PARTIAL).open("rb") as file:
        for line in (folder / cache.DONE).read_text(encoding="utf-8").splitlines():
            try:
                block, crc = json.loads(line)
            except ValueError:  # the last one, cut off
                continue
            file.seek(head + block * block_bytes)
            if zlib.crc32(file.read(block_bytes)) == crc:
                found[block] = crc
            heartbeat.beat()
    return found


def _copied(
    left: leftovers.Leftover | None, folder: Path, listing: Listing, plan: dict[str, Any], there: Container[int]
) -> dict[int, int]:
    """By block the CRC-32 of those copied from an entry that was given up, if there is one, which is removed then.
    The blocks that are there are left alone."""
    if left is None:
        return {}
    missing = [block for block in range(-(-plan["shape"][0] // plan["block_rows"])) if block not in there]
    row_bytes = int(np.prod(plan["shape"][1:], dtype=np.int64))
    found: dict[int, int] = {}
    with suppress(FileNotFoundError), (folder / cache.DONE).open("a", encoding="utf-8") as done:  # cleared meanwhile
        good = _done(cache.root() / left.name, leftovers.head_of(left, row_bytes), plan["block_rows"] * row_bytes)
        for block, crc in leftovers.copied(left, list(good), listing, plan, folder / cache.PARTIAL, missing):
            found[block] = crc
            done.write(json.dumps([block, crc]) + "\n")
    cache.remove(left.name)
    return found


def _give_up(folder: Path, listing: Listing, has_blocks: bool) -> None:
    """Leave what is decoded, if anything is, for when the unreadable images are fixed."""
    if has_blocks:
        leftovers.keep(folder, listing)
    else:
        (folder / cache.PLAN).unlink()
    cache.release(folder.name)


def _rows_in(block: int, rows: int, count: int) -> int:
    return min(rows, count - block * rows)


def _unreadable(listing: Listing, reasons: dict[int, str]) -> DataError:
    return DataError(f"data.source: {listing.source}: {_unreadable_message(listing, reasons)}")


def _unreadable_message(listing: Listing, unreadable: dict[int, str]) -> str:
    each = one_a_line([f"{listing.names[row]}: {unreadable[row]}" for row in sorted(unreadable)])
    return f"{len(unreadable):,} of {len(listing.names):,} images can't be read; fix or remove them:{each}"
