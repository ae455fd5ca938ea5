"""`folder:PATH`: a folder a class, in `train/`, `validation/` and `test/` or in PATH itself."""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from harness.cluster.heartbeat import Heartbeat
from harness.data import picture_formats
from harness.data.files.decode import Reference
from harness.data.files.listing import FILES_AT_A_BEAT, SPLITS, Listing, in_short
from harness.data.problems import Problems
from harness.errors import DataError

_SUFFIXES = picture_formats.suffixes(picture_formats.DATA)
_OF_THE_SYSTEM = ("thumbs.db", "desktop.ini")
"""What Windows puts into folders. That of other systems is hidden."""
_SPLIT_OF = {"train": 0, "training": 0, "validation": 1, "valid": 1, "val": 1, "test": 2, "testing": 2}
"""By a folder's name in small letters, its number in SPLITS; the names but the first of each count beside a train/."""


def listing(source: str) -> Listing:
    """The images in the class folders, which may have folders inside; hidden files are passed over, and
    so are those of other kinds or in other places, which the listing tells of.

    Raises DataError where there is no such folder, a class folder has no image, one can't be read, or a link leads back
    to a folder above it; OSError where a folder can't be read.
    """
    root = Path(source.removeprefix("folder:"))
    if not root.is_dir():
        what = f"{root} is not a folder" if root.exists() else f"there is no folder {root}"
        raise DataError(f"data.source: {source}: {what}")
    in_splits = _splits(source, root)
    tops = in_splits or {0: root}
    found = {top: _class_folders(top) for top in tops.values()}
    class_names = tuple(sorted({name for names in found.values() for name in names}))
    if not class_names:
        raise DataError(
            f"data.source: {source} has no class folders: put the images of each class into a folder named after it"
        )
    if without := [top for top in in_splits.values() if not found[top]]:
        raise DataError(f"data.source: {source}: {without[0].name}/ has no class folders: fill or remove it")
    number = {name: index for index, name in enumerate(class_names)}
    images, empty, others = list[tuple[str, int, int]](), list[str](), list[str]()  # images: path, label, split
    for split, top in tops.items():
        for name in found[top]:
            here, others_here = _images_and_others(top / name)
            others += others_here
            images += [(path, number[name], split) for path in here]
            if not here:
                but = f", but {_by_kind(others_here, top / name)}" if others_here else ""
                empty.append(f"{(top / name).relative_to(root)}{but}")
    problems = Problems(source)
    if empty:
        problems.add(f"class folders without an image ({', '.join(_SUFFIXES)}): {in_short(empty)}: fill or remove them")
    paths = [path for path, _, _ in images]
    with problems.noted():
        files = _files(source, root, paths)
    problems.refuse()
    return Listing(
        source,
        files,
        list[Reference](paths),
        paths,
        np.array([label for _, label, _ in images], np.int32),
        class_names,
        np.array([split for _, _, split in images], np.int8) if in_splits else None,
        "; ".join(filter(None, [_left_out(others, root), _left_beside(root, [*tops.values()])])),
    )


def _images_and_others(folder: Path) -> tuple[list[str], list[str]]:
    found = sorted(_walked(folder))
    images = [path for path in found if path.lower().endswith(_SUFFIXES)]
    return images, [path for path in found if not path.lower().endswith(_SUFFIXES)]


def _files(source: str, root: Path, paths: Sequence[str]) -> list[tuple[str, int, int]]:
    """As Listing.files. Raises DataError for all that can't be read by then."""
    files, unreadable, heartbeat = [], [], Heartbeat()
    for path in paths:
        try:
            state = os.stat(path)
        except OSError as error:
            unreadable.append(f"{path}: {error.strerror}")
            continue
        if not stat.S_ISREG(state.st_mode):  # a named pipe would be waited for
            unreadable.append(f"{path}: is not a file")
        files.append((path[len(str(root)) + 1 :], state.st_size, state.st_mtime_ns))
        if len(files) % FILES_AT_A_BEAT == 0:
            heartbeat.beat()
    if unreadable:
        raise DataError(
            f"data.source: {source}: {len(unreadable):,} of {len(paths):,} images can't be read; fix or remove "
            f"them: {in_short(unreadable)}"
        )
    return files


def _splits(source: str, root: Path) -> dict[int, Path]:
    """The folders of the splits, by their numbers in SPLITS; none where the class folders lie in `root` itself.

    Raises DataError where there are some but none to train on, or two for one.
    """
    candidates = [path for path in sorted(root.iterdir()) if path.name.lower() in _SPLIT_OF]
    _check_links(candidates)
    # Those of other names than SPLITS may be classes: then there are no class folders inside.
    named = [path for path in candidates if path.is_dir() and (path.name in SPLITS or _class_folders(path))]
    has_train = any(_SPLIT_OF[path.name.lower()] == 0 for path in named)
    if not has_train:  # then "valid" may be a class beside "invalid"
        if named := [path for path in named if path.name in SPLITS]:
            raise DataError(
                f"data.source: {source} has {' and '.join(f'{path.name}/' for path in named)} but no train/: add it, "
                "or name the folder inside that holds the classes"
            )
        return {}
    found: dict[int, Path] = {}
    for path in named:
        other = found.setdefault(_SPLIT_OF[path.name.lower()], path)
        if other != path:
            raise DataError(
                f"data.source: {source}: {other.name}/ and {path.name}/ are for the same: leave one of them"
            )
    return dict(sorted(found.items()))


def _class_folders(top: Path) -> list[str]:
    entries = [path for path in sorted(top.iterdir()) if not path.name.startswith(".")]
    _check_links([path for path in entries if not path.suffix])  # of a file's name it would only be left out
    return [path.name for path in entries if path.is_dir()]


def _check_links(paths: Iterable[Path]) -> None:
    """Raise DataError where a folder would be missed, such as one on a disk that isn't there."""
    for path in sorted(paths):
        if path.is_symlink() and not path.exists():
            raise DataError(f"data.source: {path} is a link to {os.readlink(path)}, where nothing is")


def _left_out(others: list[str], root: Path) -> str:
    if not others:
        return ""
    files = "1 file in the class folders is" if len(others) == 1 else f"{len(others):,} files in the class folders are"
    return (
        f"{files} left out, as only {', '.join(_SUFFIXES)} are read: {_by_kind(others, root)}; convert those that "
        "are pictures, to PNG for example"
    )


def _left_beside(root: Path, tops: Sequence[Path]) -> str:
    """What lies where class folders are looked for, or folders of splits, and is neither."""
    strays = [
        path
        for top in dict.fromkeys([root, *tops])
        for path in sorted(top.iterdir())
        if path.name.lower().endswith(_SUFFIXES) and not path.name.startswith(".") and path.is_file()
    ]
    if root not in tops:
        strays += [
            path for path in sorted(root.iterdir()) if path.is_dir() and path not in tops and path.name[0] != "."
        ]
    if not strays:
        return ""
    names = in_short([f"{path.relative_to(root)}{'/' if path.is_dir() else ''}" for path in strays])
    left_out = "left out, as it is" if len(strays) == 1 else "left out, as they are"
    return f"{left_out} in no class folder: {names}"


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


def _walked(folder: Path) -> Iterator[str]:
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
