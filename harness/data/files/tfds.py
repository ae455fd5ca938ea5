"""`tfds:NAME`: a data set that TensorFlow Datasets has prepared on this disk, read from its TFRecord files.

That package prepares it (`tfds build NAME`); to read it, it is not needed.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from harness.data.files import tfrecords
from harness.data.files.listing import SPLITS, Listing, in_short
from harness.errors import DataError
from harness.machine.requirements import install_extra

_INFO = "dataset_info.json"


def listing(source: str) -> Listing:
    """The images of a data set's splits train, validation and test, of which it may lack all but the first.

    NAME is `name`, `name/config`, either with `:1.0.0` for another version than the newest, or the path of a folder
    with dataset_info.json; a name is looked for in $TFDS_DATA_DIR, else ~/tensorflow_datasets.

    Raises DataError where it isn't prepared, or has no encoded image and class label that belong together.
    """
    folder = _folder(source)
    info = _read(source, folder / _INFO)
    features = _read(source, folder / "features.json").get("featuresDict", {}).get("features", {})
    image = _named(source, features, "image")
    label = _named(source, features, "classLabel")
    if info.get("fileFormat", "tfrecord") != "tfrecord":
        raise DataError(
            f"data.source: {source} is stored in {info['fileFormat']} files: prepare it with --file_format=tfrecord"
        )
    found = [
        (str(path), number)
        for number, split in enumerate(SPLITS)
        for path in sorted(folder.glob(f"{info['name']}-{split}.tfrecord*"))
    ]
    if not any(number == 0 for _, number in found):
        raise DataError(f"data.source: {source}: {folder} has no split train")
    names = folder / f"{label}.labels.txt"
    class_names = tuple(names.read_text(encoding="utf-8").split("\n")) if names.exists() else None
    if class_names and not class_names[-1]:
        class_names = class_names[:-1]
    paths, splits = zip(*found, strict=True)
    has_splits = len(set(splits)) > 1
    return tfrecords.of_files(source, list(paths), list(splits) if has_splits else None, image, label, class_names)


def _folder(source: str) -> Path:
    name, _, version = source.removeprefix("tfds:").partition(":")
    root = Path(os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets")
    within = root / name  # which a path stays that is absolute
    if (within / _INFO).is_file():
        return within
    versions = [path.parent for path in [*within.glob(f"*/{_INFO}"), *within.glob(f"*/*/{_INFO}")]]
    versions = [path for path in versions if not version or path.name == version]
    if len(configs := sorted({path.parent.name for path in versions})) > 1:
        raise DataError(f"data.source: {source} has several configs: write {name}/CONFIG, one of {in_short(configs)}")
    if not versions:
        raise DataError(
            f"data.source: {source} is not prepared in {root}: {install_extra('tfds')} and "
            f"tfds build {name}, where there is a network; or set TFDS_DATA_DIR to where it is"
        )
    return max(versions, key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)])


def _read(source: str, path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        raise DataError(f"data.source: {source}: {path} can't be read") from None
    return found


def _named(source: str, features: dict[str, Any], kind: str) -> str:
    """The one feature of that kind."""
    names = [name for name, feature in features.items() if kind in feature]
    if len(names) != 1:
        raise DataError(
            f"data.source: {source} must have exactly one feature of the kind {kind}, and has {len(names)}: use "
            "tfrecord:GLOB with data.image_feature and data.label_feature for its files"
        )
    return names[0]
