"""Decoded images on disk: where they lie, who uses them, whether they are whole.

$HARNESS_CACHE, else $XDG_CACHE_HOME/harness, else ~/.cache/harness, holds a folder for each set of files and decoding:

    KEY/images.npy      (n, height, width, channels) uint8, to be mapped into memory
    KEY/contents.json   written last: shape, source, and the CRC-32 of each block of rows
    KEY/used            locked, shared, by each process that maps the images; its time is that of the last use
    KEY/plan.json, images.partial, done.jsonl   of one that is being made, or was killed meanwhile
    KEY/rows.npy        of one that was given up over unreadable images: see `leftovers`
    KEY.removed-…       what is just being removed, or was when a process was killed
    locks/KEY           locked by the process that makes or removes KEY
    scans/KEY.npz       what `harness.data.scan` found in a data set's images
"""

import errno
import fcntl
import json
import os
import shutil
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import filelock
import numpy as np
from numpy.typing import NDArray

from harness.cluster.heartbeat import Heartbeat
from harness.errors import HarnessError, UserError

IMAGES, CONTENTS, USED = "images.npy", "contents.json", "used"
PARTIAL, PLAN, DONE = "images.partial", "plan.json", "done.jsonl"
SCANS = "scans"
_LOCKS = "locks"
_REMOVED = ".removed"
_BLOCKS_CHECKED = 8
_SECONDS_BETWEEN_BEATS = 5.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_held: dict[str, int] = {}
"""By folder the open file whose lock says that this process uses its images; until the process ends, for the images are
mapped for as long as anything refers to them."""


def root() -> Path:
    """Where the cache lies on this machine."""
    if own := os.environ.get("HARNESS_CACHE"):
        return Path(own).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "harness"


@contextmanager
def disk_errors_in_one_line(kind: type[HarnessError] = UserError, size: int = 0) -> Iterator[None]:
    """Turn what a disk does to us into one line with the fix.

    Args:
        kind: UserError before anything is decoded, WriteFailed in the middle, as for a run's directory.
        size: bytes needed.
    """
    try:
        yield
    except OSError as error:
        place = error.filename or root()
        fix = "set HARNESS_CACHE to a folder on a larger disk, or see harness cache"
        if error.errno in _FULL:
            free = next(shutil.disk_usage(at).free for at in (root(), *root().parents) if at.is_dir())
            needed = f"{size:,} bytes are needed and {free:,} are free" if size else error.strerror
            raise kind(f"the cache of decoded images, {place}: {needed}: {fix}") from None
        raise kind(
            f"the cache of decoded images can't be written to {place}: {error.strerror or error}: set HARNESS_CACHE to "
            "a folder that can be written to"
        ) from None


@contextmanager
def exclusive(key: str, wait: bool, say: Any = None) -> Iterator[bool]:
    """While entered, no other process makes or removes that entry; gives whether that is so, which without `wait`
    it need not be. `say` is called where there is someone to wait for."""
    (root() / _LOCKS).mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(root() / _LOCKS / key)
    try:
        lock.acquire(timeout=0.5 if wait else 0)  # a look at the list takes it for a moment
    except filelock.Timeout:
        if not wait:
            yield False
            return
        if say:
            say("waiting for another process that is decoding these images")
        _awaited(lock)
    try:
        yield True
    finally:
        lock.release()


def _awaited(lock: filelock.BaseFileLock) -> None:
    heartbeat = Heartbeat()
    while True:
        with suppress(filelock.Timeout):
            lock.acquire(timeout=_SECONDS_BETWEEN_BEATS)
            return
        heartbeat.beat()


def hold(key: str) -> None:
    """Keep the entry from being removed for as long as this process lives, and note that it is used now."""
    folder = root() / key
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        held = _held.get(str(folder))
        try:
            if held is None:
                held = os.open(folder / USED, os.O_RDWR | os.O_CREAT, 0o666)
                fcntl.flock(held, fcntl.LOCK_SH)
            if os.path.samestat(os.fstat(held), os.stat(folder / USED)):  # else it was removed meanwhile
                os.utime(folder / USED)
                _held[str(folder)] = held
                return
        except FileNotFoundError:
            pass
        _held.pop(str(folder), None)
        if held is not None:
            os.close(held)


def release(key: str) -> None:
    """Let the entry be removed, where this process has mapped nothing of it."""
    if (held := _held.pop(str(root() / key), None)) is not None:
        os.close(held)


def contents(key: str) -> dict[str, Any] | None:
    """What is written of a finished entry; None where it is none."""
    try:
        found: dict[str, Any] = json.loads((root() / key / CONTENTS).read_bytes())
    except (OSError, ValueError):
        return None
    return found


def verified(key: str) -> NDArray[np.uint8] | None:
    """The images of an entry, mapped into memory; None where it isn't finished, or is damaged.

    It is seen from the file's size and the CRC-32 of eight blocks, other ones each time.
    """
    found = contents(key)
    if found is None:
        return None
    try:
        images: NDArray[np.uint8] = np.load(root() / key / IMAGES, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    if list(images.shape) != found["shape"] or images.dtype != np.uint8:
        return None
    crcs, rows = found["crcs"], found["block_rows"]
    for block in np.random.default_rng().permutation(len(crcs))[:_BLOCKS_CHECKED].tolist():
        if zlib.crc32(images[block * rows : (block + 1) * rows].tobytes()) != crcs[block]:
            return None
    return images


@dataclass(frozen=True)
class Entry:
    """One that `harness cache` lists."""

    name: str
    source: str
    rows: int
    """Images in it."""
    bytes: int
    created: float
    """Seconds since the epoch, as `last_used`."""
    last_used: float
    is_complete: bool
    in_use: bool


def entries() -> list[Entry]:
    """Everything in the cache, what was used last at the end."""
    with disk_errors_in_one_line():
        folders = [path.parent for path in root().glob(f"*/{USED}") if _REMOVED not in path.parent.name]
        return sorted(filter(None, map(_entry, folders)), key=lambda entry: entry.last_used)


def _entry(folder: Path) -> Entry | None:
    with suppress(FileNotFoundError, ValueError, KeyError):  # removed meanwhile, or damaged
        finished = contents(folder.name)
        about = finished or json.loads((folder / PLAN).read_bytes())
        size = sum(file.stat().st_blocks * 512 for file in folder.iterdir())
        used = (folder / USED).stat().st_mtime
        return Entry(
            folder.name,
            about["source"],
            about["shape"][0],
            size,
            about["created"],
            used,
            finished is not None,
            _is_used(folder),
        )
    return None


def _is_used(folder: Path) -> bool:
    with exclusive(folder.name, wait=False) as alone, _opened_to_lock(folder) as used:
        return not (alone and _locked_alone(used))


def _opened_to_lock(folder: Path) -> IO[bytes]:
    return (folder / USED).open("r+b")  # NFS locks alone only what may be written


def _locked_alone(used: IO[bytes]) -> bool:
    try:
        fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # EWOULDBLOCK, EAGAIN: any other error says nothing of a use
        return False
    return True


def remove(name: str) -> bool:
    """Remove an entry, whole or not; False, and nothing done, where a process uses or makes it."""
    folder = root() / name
    with exclusive(name, wait=False) as alone:
        try:
            with _opened_to_lock(folder) as used:
                if not (alone and _locked_alone(used)):
                    return False
                gone = folder.with_name(f"{name}{_REMOVED}-{uuid.uuid4().hex}")
                folder.rename(gone)  # at once, for whoever looks
        except FileNotFoundError:  # another process has just removed it
            return True
        shutil.rmtree(gone)
        return True


def _sweep() -> None:
    """Remove what was being removed when a process was killed."""
    for left in root().glob(f"*{_REMOVED}*"):
        with exclusive(left.name.partition(_REMOVED)[0], wait=False) as alone:
            if alone and left.exists():
                shutil.rmtree(left)


class Scans(NamedTuple):
    """What `harness.data.scan` has found in the images of several data sets."""

    files: int
    bytes: int


def scans() -> Scans:
    """Those that are kept."""
    with disk_errors_in_one_line():
        sizes = [file.stat().st_size for file in root().glob(f"{SCANS}/*")]
    return Scans(len(sizes), sum(sizes))


def clear_scans(older_than_days: float | None) -> Scans:
    """Remove them all, or those written so many days ago: what was removed. They are read at once, and never held."""
    removed, now = [], time.time()
    with disk_errors_in_one_line():
        for file in root().glob(f"{SCANS}/*"):
            state = file.stat()
            if older_than_days is None or now - state.st_mtime > older_than_days * 86400:
                file.unlink(missing_ok=True)
                removed.append(state.st_size)
    return Scans(len(removed), sum(removed))


def clear(name: str | None, older_than_days: float | None) -> tuple[list[Entry], list[Entry]]:
    """Remove that entry, or all, or those not used for so many days: what was removed, and what was not for being used.

    Raises UserError where there is none of that name.
    """
    found = [entry for entry in entries() if name is None or entry.name == name]
    if name is not None and not found:
        known = ", ".join(entry.name for entry in entries()) or "nothing"
        raise UserError(f"{name} is not in the cache {root()}; it holds {known}")
    now = time.time()
    old = [entry for entry in found if older_than_days is None or now - entry.last_used > older_than_days * 86400]
    with disk_errors_in_one_line():
        _sweep()
        removed = [entry for entry in old if remove(entry.name)]
    return removed, [entry for entry in old if entry not in removed]
