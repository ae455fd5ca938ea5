"""What is found in the data of a config, printed, and written to a folder with contact sheets."""

import json
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.config import Config
from harness.console.terminal import Terminal
from harness.data import augment
from harness.data.classes import called
from harness.data.files.listing import SPLITS
from harness.data.images import evenly
from harness.data.quality import doubts
from harness.data.scan import scans
from harness.data.sources import DataSet, Split
from harness.data_sheet.contact_sheets import contact_sheet
from harness.data_sheet.numbers import Numbers
from harness.preparation import describe_data, prepare
from harness.runs.paths import write_atomically

JSON_FILE = "data.json"
_AUGMENTATION = "augmentation.png"
_MANY_CLASSES = 20
_OF_A_CLASS, _OF_ONE_OF_MANY = 40, 16
"""Images on a class's sheet: of a thousand classes the sheets are a hundred megabytes all the same."""
_COLUMNS = 8
_AUGMENTED = 8
"""Images that are shown augmented, each at so many positions less one."""


def write_sheet(config: Config, folder: Path, terminal: Terminal) -> None:
    """Print the data's numbers and what is doubtful in them, and write both to `folder`, with contact sheets.

    Raises UserError for whatever training would refuse, in its words, before anything is written.
    """
    setup = prepare(config)
    data, splits = setup.data, (setup.train, setup.validation, setup.test)
    numbers = Numbers.of(data, splits)
    found = doubts(data, splits, scans(data, terminal.line))
    for line in [*describe_data(config, data, splits), *as_lines(numbers, data.class_names)]:
        terminal.line(line)
    for doubt in found:
        terminal.warning(f"{config.data.source}: {doubt}")
    pictures = {**_of_classes(data, splits[0]), **_augmented(config, data, splits[0])}
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("class-*.png"):
        old.unlink()
    (folder / _AUGMENTATION).unlink(missing_ok=True)
    for name, png in pictures.items():
        write_atomically(folder / name, png)
    contents = {"source": config.data.source, **as_dict(data, numbers), "warnings": found, "pictures": list(pictures)}
    write_atomically(folder / JSON_FILE, json.dumps(contents, indent=2).encode() + b"\n")
    sheets = f"{len(pictures) - (_AUGMENTATION in pictures):,} class-*.png"
    terminal.line(f"pictures  {folder}: {sheets}{f', {_AUGMENTATION}' * (_AUGMENTATION in pictures)}; {JSON_FILE}")


def as_lines(numbers: Numbers, class_names: Sequence[str]) -> list[str]:
    """The numbers as lines for a terminal: the images, their pixels, and a table of the classes."""
    height, width, channels = numbers.image_shape
    table = [["class", *SPLITS]]
    table += [[f"{label:,}", *map(_thousands, counts)] for label, counts in enumerate(numbers.counts.tolist())]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    names = ["", *class_names] if class_names else [""] * len(table)
    return [
        f"images    {height}×{width}, {channels} channel{'s' if channels > 1 else ''}; {numbers.bytes:,} bytes in all",
        f"pixels    mean {_listed(numbers.mean)}, standard deviation {_listed(numbers.deviation)} (training, 0 to 1)",
        *(
            "  ".join([*(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)), name]).rstrip()
            for row, name in zip(table, names, strict=True)
        ),
    ]


def as_dict(data: DataSet, numbers: Numbers) -> dict[str, Any]:
    """For programs."""
    names = data.class_names or [None] * len(numbers.counts)
    return {
        "data_sha256": data.sha256,
        "rows": dict(zip(SPLITS, numbers.rows, strict=True)),
        "image_shape": list(numbers.image_shape),
        "bytes": numbers.bytes,
        "mean": numbers.mean.tolist(),
        "standard_deviation": numbers.deviation.tolist(),
        "classes": [
            {"class": label, "name": name, **dict(zip(SPLITS, counts, strict=True))}
            for label, (name, counts) in enumerate(zip(names, numbers.counts.tolist(), strict=True))
        ],
    }


def _of_classes(data: DataSet, split: Split) -> dict[str, bytes]:
    """A sheet of training images of each class that has some, evenly drawn from its rows."""
    order = np.argsort(split.labels, kind="stable")
    present, first, counts = np.unique(split.labels[order], return_index=True, return_counts=True)
    most = _OF_A_CLASS if len(present) <= _MANY_CLASSES else _OF_ONE_OF_MANY
    digits = len(str(present[-1]))
    sheets = {}
    for label, start, count in zip(present.tolist(), first.tolist(), counts.tolist(), strict=True):
        rows = order[start + evenly(count, most)]
        title = f"class {called(label, split.class_names)}: {len(rows)} of {count:,} training images"
        name = f"class-{label:0{digits}}.png"
        sheets[name] = contact_sheet(title, split.images[rows], _called(data, split, rows), _COLUMNS)
    return sheets


def _augmented(config: Config, data: DataSet, split: Split) -> dict[str, bytes]:
    """The same training images as they are and at several positions of the stream; nothing where nothing augments."""
    if not config.data.augmentations:
        return {}
    rows = evenly(len(split), _AUGMENTED)
    images, titles = [split.images[rows]], [_called(data, split, rows)]
    for number in range(_COLUMNS - 1):
        positions = number * len(rows) + np.arange(len(rows))
        images.append(_at(positions, split.images[rows], config))
        titles.append([f"at {position}" for position in positions])
    by_image = np.stack(images, axis=1).reshape(-1, *split.images.shape[1:])
    captions = [title for of_image in zip(*titles, strict=True) for title in of_image]
    title = "training images, and what augmentation makes of them at positions of the stream"
    return {_AUGMENTATION: contact_sheet(title, by_image, captions, _COLUMNS)}


def _called(data: DataSet, split: Split, rows: NDArray[np.intp]) -> list[str]:
    """Images of the split by their file's name, or by their row among all training images."""
    begin = split.rows.start or 0 if isinstance(split.rows, slice) else 0
    of_all = (rows + begin if isinstance(split.rows, slice) else split.rows[rows]).tolist()
    return [PurePath(data.names[0][row]).name if data.names else str(row) for row in of_all]


def _at(positions: NDArray[np.int64], images: NDArray[np.uint8], config: Config) -> NDArray[np.uint8]:
    at = tf.constant(positions, tf.int64)
    return np.asarray(augment.augmented(tf.constant(images), at, config.seed, config.data))


def _thousands(count: int) -> str:
    return f"{count:,}"


def _listed(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.4f}" for value in values)
