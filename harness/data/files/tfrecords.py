"""`tfrecord:GLOB`: files of tf.train.Example with an encoded image and a label each."""

import glob
import os
import re

import numpy as np

from harness.cluster.heartbeat import Heartbeat
from harness.data.files.decode import Reference
from harness.data.files.listing import SPLITS, Listing, in_short, numbered
from harness.data.files.records import BadRecord, labels_in, records_of
from harness.errors import DataError

_SPLIT = re.compile(r"(?<![a-z])(train|validation|val|test)(?![a-z])")


def listing(source: str, image_feature: str, label_feature: str) -> Listing:
    """The records of all files that match. Files are for training, validation or test where all their names say so
    (`train-00000-of-00008`).

    Raises DataError where no file matches, only some names say what they are for, or a record can't be read.
    """
    pattern = source.removeprefix("tfrecord:")
    paths = sorted({path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)})  # ** twice: twice
    if not paths:
        raise DataError(f"data.source: {source}: no file matches {pattern}")
    words = [_SPLIT.search(os.path.basename(path).lower()) for path in paths]
    named = [word is not None for word in words]
    if any(named) and not all(named):
        without = [path for path, has in zip(paths, named, strict=True) if not has]
        raise DataError(
            f"data.source: {source}: some files have {', '.join(SPLITS)} in their names, and others don't: "
            f"{in_short(without)}"
        )
    splits = [SPLITS.index("validation" if word[1] == "val" else word[1]) for word in words if word]
    return of_files(source, paths, splits or None, image_feature, label_feature)


def of_files(
    source: str,
    paths: list[str],
    split_of_file: list[int] | None,
    image_feature: str,
    label_feature: str,
    class_names: tuple[str, ...] | None = None,
) -> Listing:
    """The records of these files, each file for a split or None.

    Args:
        class_names: of labels that are numbers from 0; else they are numbered as they sort.

    Raises DataError for all files and records that can't be read, or lack a feature, in one list.
    """
    files, references, names, splits, problems = [], [], [], [], []
    labels: list[int | str] = []
    heartbeat = Heartbeat()
    for number, path in enumerate(paths):
        heartbeat.beat()
        state = os.stat(path)
        files.append((f"{os.path.basename(path)} {image_feature}", state.st_size, state.st_mtime_ns))
        try:
            records = list(records_of(path))
            labels += labels_in(path, records, label_feature)
        except BadRecord as error:
            problems.append(f"{path}: {error}")
            continue
        references += [(path, offset, length, image_feature) for offset, length in records]
        names += [f"{path}, record {index:,}" for index in range(len(records))]
        splits += [split_of_file[number] if split_of_file else 0] * len(records)
    if problems:
        raise DataError(
            f"data.source: {source}: {in_short(problems)} (data.image_feature: {image_feature}, data.label_feature: "
            f"{label_feature})"
        )
    if not references:
        raise DataError(f"data.source: {source}: the files hold no records")
    if class_names is None:
        numbers, class_names = numbered(labels)
    else:
        numbers = np.array(labels, np.int32)
    by_split = np.array(splits, np.int8) if split_of_file else None
    return Listing(source, files, list[Reference](references), names, numbers, class_names, by_split)
