"""`folder:PATH`: a folder a class, in `train/`, `validation/` and `test/` or in PATH itself."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from harness.cluster.heartbeat import Heartbeat
from harness.data import picture_formats
from harness.data.files.decode import Reference
from harness.data.files.listing import FILES_AT_A_BEAT, SPLITS, Listing, in_short
from harness.errors import DataError

_SUFFIXES = picture_formats.suffixes(picture_formats.DATA)
_OF_THE_SYSTEM = ("thumbs.db", "desktop.ini")
"""What Windows puts into folders. That of other systems is hidden."""


def listing(source: str) -> Listing:
    """The images in the class folders, which may have folders inside; hidden files are passed over, and
    so are those of other kinds, which the listing tells of.

    Raises DataError where there is no such folder, a class folder has no image, or a link leads back to a folder above
    it; OSError where a folder can't be read.
    """
    root = Path(source.removeprefix("folder:"))
    if not root.is_dir():
        what = f"{root} is not a folder" if root.exists() else f"there is no folder {root}"
        raise DataError(f"data.source: {source}: {what}")
    in_splits = [name for name in SPLITS if (root / name).is_dir()]
    if in_splits and "train" not in in_splits:
        raise DataError(
            f"data.source: {source} has {' and '.join(f'{name}/' for name in in_splits)} but no train/: add it, or "
            "name the folder inside that holds the classes"
        )
    tops = [root / name for name in in_splits] or [root]
    found = {top: _class_folders(top) for top in tops}
    class_names = tuple(sorted({name for names in found.values() for name in names}))
    if not class_names:
        raise DataError(
            f"data.source: {source} has no class folders: put the images of each class into a folder named after it"
        )
    number = {name: index for index, name in enumerate(class_names)}
    files, paths, labels, splits, empty, others = [], [], [], [], [], []
    heartbeat = Heartbeat()
    for split, top in enumerate(tops):
        for name in found[top]:
            found_here = sorted(_files(top / name))
            images = [path for path in found_here if path.lower().endswith(_SUFFIXES)]
            others_here = [path for path in found_here if not path.lower().endswith(_SUFFIXES)]
            others += others_here
            if not images:
                but = f", but {_by_kind(others_here, top / name)}" if others_here else ""
                empty.append(f"{(top / name).relative_to(root)}{but}")
            paths += images
            for path in images:
                state = os.stat(path)
                files.append((path[len(str(root)) + 1 :], state.st_size, state.st_mtime_ns))
                if len(files) % FILES_AT_A_BEAT == 0:
                    heartbeat.beat()
            labels += [number[name]] * len(images)
            splits += [SPLITS.index(in_splits[split]) if in_splits else 0] * len(images)
    if empty:
        raise DataError(
            f"data.source: {source}: class folders without an image ({', '.join(_SUFFIXES)}): {in_short(empty)}: "
            "fill or remove them"
        )
    return Listing(
        source,
        files,
        list[Reference](paths),
        paths,
        np.array(labels, np.int32),
        class_names,
        np.array(splits, np.int8) if in_splits else None,
        _left_out(others, root),
    )


def _class_folders(top: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(top) if entry.is_dir() and not entry.name.startswith("."))


def _left_out(others: list[str], root: Path) -> str:
    if not others:
        return ""
    files = "1 file in the class folders is" if len(others) == 1 else f"{len(others):,} files in the class folders are"
    return (
        f"{files} left out, as only {', '.join(_SUFFIXES)} are read: {_by_kind(others, root)}; convert those that "
        "are pictures, to PNG for example"
    )


def _by_kind(others: list[str], root: Path) -> str:
    """`2 .tif (cat/1.tif, …), 1 .txt (cat/notes.txt)`."""
    kinds: dict[str, list[str]] = {}
    for path in others:
        kinds.setdefault(os.path.splitext(path)[1].lower() or "without an ending", []).append(path)
    most_first = sorted(kinds.items(), key=lambda kind: -len(kind[1]))
    return in_short(
        [
            f"{len(paths):,} {kind} ({os.path.relpath(paths[0], root)}{', …' if len(paths) > 1 else ''})"
            for kind, paths in most_first
        ]
    )


def _files(folder: Path) -> Iterator[str]:
    """Raises OSError where a folder inside can't be read, DataError where a link leads back to a folder above it."""
    for path, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            _check_leads_on(os.path.join(path, name))
        for name in names:
            if not name.startswith(".") and name.lower() not in _OF_THE_SYSTEM:
                yield os.path.join(path, name)


def _raise(error: OSError) -> None:
    raise error


def _check_leads_on(folder: str) -> None:
    if os.path.islink(folder) and any(os.path.samefile(folder, above) for above in Path(folder).parents):
        raise DataError(
            f"data.source: {folder} is a link to {os.path.realpath(folder)}, which it lies in: remove the link"
        )
