"""The `data:` section."""

import math
import os
import re
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from harness.config.augment import AugmentSection, CutMix, MixUp, Shift
from harness.config.section import Section, Size, did_you_mean

NAMES = ("mnist", "fashion_mnist", "cifar10", "cifar100")
"""The data sets that are known by name; the first comes with the package."""
PATHS = ("fashion_mnist", "cifar10", "cifar100", "idx", "npy", "folder", "csv", "tfrecord", "tfds")
"""What may stand before a path, `idx:FOLDER`: the kind of what lies there."""

FILES = ("folder", "csv", "tfrecord", "tfds")
"""The kinds of sources that are image files."""
OF_FILES = ("size", "resize", "channels", "test", "split_seed", "image_feature", "label_feature")
"""The keys that say what to make of image files."""
_FIXES = {
    "size": "leave it out, and bring the images to a size with model.input.size",
    "channels": "leave it out, and make them grey or RGB with model.input.color",
}
"""What does the same for other sources."""

_SHARE = re.compile(r"(\d{1,2}(?:\.\d{1,10})?)\s*%")
_ANY_SHARE = re.compile(r"((?:-\d{1,20}|\d{3,20})(?:\.\d{1,10})?)\s*%")
"""One out of range."""
_MOST_FOLDS = 9999


def split_source(source: str) -> tuple[str, str]:
    """The kind of a source and its path, empty where it has none: `idx:FOLDER` → ("idx", "FOLDER"); for an .npz file
    and an import path the kind is empty."""
    kind, colon, path = source.partition(":")
    if colon and kind in PATHS:
        return kind, path
    return (source, "") if source in NAMES else ("", source)


def _check_is_text(source: Any) -> Any:
    if isinstance(source, dict) and len(source) == 1:  # what YAML makes of `folder: PATH`
        (kind,) = source
        raise ValueError(f"must be one text: write {kind}:PATH, without a space")
    return source


def _absolute(source: str) -> str:
    """A path means the same file from every folder; a name stays as it is."""
    kind, path = split_source(source)
    if kind:
        if not path and source not in NAMES:
            raise ValueError(f"name a path after the colon: {kind}:PATH")
        if kind == "tfds":  # which has names
            return source
        return f"{kind}:{os.path.abspath(os.path.expanduser(path))}" if path else kind
    is_path = "/" in source or source.lower().endswith(".npz") or os.path.isfile(source)
    before, colon, _ = source.partition(":")
    if is_path and colon and "/" not in before and not os.path.exists(source):
        if "://" in source:
            raise ValueError("is an address, and data are read from this machine: copy them here, and name their path")
        if before.lower() == "npz":
            raise ValueError("an .npz file is named by its path alone: leave npz: out")
        if source.lower().endswith(".npz"):
            return os.path.abspath(source)
        if before in NAMES:
            raise ValueError(f"{before} takes no path: name it alone")
        hint = did_you_mean(before.lower(), PATHS) or f"; known: {', '.join(f'{kind}:' for kind in PATHS)}"
        raise ValueError(f"there is no kind of source {before}:{hint}")
    return os.path.abspath(source) if is_path else source


def _rows(value: Any) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError("must be 0 or more")
        return value
    match = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None and isinstance(value, str) and (share := _ANY_SHARE.fullmatch(value.strip())):
        raise ValueError("must be less than 100 %" if float(share[1]) >= 100 else "must be 0 % or more")
    if match is None:
        raise ValueError("must be an integer, or a share such as '10 %'")
    return f"{match[1]} %"


def rows_of(value: int | str, count: int) -> int:
    """How many of `count` rows a number of them, or a share such as "10 %", is; rounded down."""
    return value if isinstance(value, int) else int(Fraction(value.removesuffix(" %")) * count / 100)


RowCount: TypeAlias = Annotated[
    int | str,
    BeforeValidator(_rows),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": _SHARE.pattern}]}),
]
"""A number of rows, or a share of them below 100 %."""


def _fold(value: Any) -> str:
    match = re.fullmatch(r"(-?\d{1,9})/(-?\d{1,9})", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a fold and the number of folds, such as 2/5")
    fold, folds = map(int, match.groups())
    if not 2 <= folds <= _MOST_FOLDS:
        raise ValueError(f"must be of 2 to {_MOST_FOLDS:,} folds")
    if not 1 <= fold <= folds:
        raise ValueError(f"must be a fold from 1/{folds} to {folds}/{folds}")
    return f"{fold}/{folds}"


def _range(value: Any) -> tuple[float, float]:
    numbers = list(value) if isinstance(value, list | tuple) else []
    is_range = len(numbers) == 2 and all(isinstance(each, int | float) and math.isfinite(each) for each in numbers)
    if not is_range or not numbers[0] < numbers[1]:
        raise ValueError("must be two numbers, the lower first, such as [0, 1]")
    return float(numbers[0]), float(numbers[1])


Resize: TypeAlias = Literal["crop", "stretch", "pad"]


class DataSection(Section):
    """The images and their labels: where they come from, how they are split, and how training images are augmented."""

    source: Annotated[str, BeforeValidator(_check_is_text), AfterValidator(_absolute)] = "mnist"
    """A data set's name (mnist, fashion_mnist, cifar10, cifar100), the path of an .npz file with x_train, y_train,
    x_test and y_test, a kind and a path (folder:PATH, csv:FILE, tfrecord:GLOB, tfds:NAME, idx:FOLDER,
    npy:FOLDER), or a function of your own (my_package.data:load)."""
    scale: Annotated[tuple[float, float], BeforeValidator(_range)] | None = None
    """The values of the images that become pixels 0 and 255: [0, 1], or [0, 65535] for 16 bits. Needed for all but
    uint8."""
    validation: RowCount = 5000
    """How many of the last training rows are held out for validation, or a share such as 10 %; 0 for none."""
    stratify: bool = False
    """Hold out the last training rows of each class, as many as its share, instead of the last of all: for rows in the
    order of their classes."""
    fold: Annotated[str, BeforeValidator(_fold, json_schema_input_type=str)] | None = None
    """Hold out the second of five equal parts with 2/5, and so on, in place of `validation`."""
    subset: RowCount | None = None
    """Train on so many of the rows that are left, or on a share such as 10 %, drawn by the seed, of each class its
    share: for learning curves."""
    shift: int = Field(default=0, ge=0)
    """Each training image is moved by up to this many pixels, at random, in both directions: short for a first entry
    {name: shift, pixels: …} of `augment`."""
    augment: list[AugmentSection] = Field(default=[], max_length=32)
    """What is done to each training image, at random and in this order: [{name: flip}, {name: crop, padding: 4}]."""
    placement: Literal["auto", "device", "host"] = "auto"
    """Where the training images lie: on the device, or in the host's memory, from where batches are copied ahead.
    `auto`: on a GPU where they take less than a quarter of its free memory and, where they are read from a file, half
    of the host's."""
    size: Size | None = None
    """Of image files: the height and width that they are brought to, one number where they are equal. By default they
    stay as they are, and must all be of one size."""
    resize: Resize = "crop"
    """How: `crop` cuts off what is too long in the middle of the longer side, `stretch` changes the proportions, `pad`
    adds black."""
    channels: Literal[1, 3] | None = None
    """Of image files: 1 makes all grey, 3 makes all RGB. By default they stay as they are, and must all be the same."""
    test: RowCount = "20 %"
    """Of image files that nothing says are for test: how many are held out for it, of each class its share."""
    split_seed: int = Field(default=0, ge=0, lt=2**31)
    """Which ones these are. Not the run's `seed`, so that runs with other seeds are tested on the same images."""
    image_feature: str = "image/encoded"
    """Of TFRecord files: the feature that holds an encoded image."""
    label_feature: str = "image/class/label"
    """Of TFRecord files: the feature that holds a number or a name."""

    @field_validator("size", "channels", "test", "split_seed", "image_feature", "label_feature")
    @classmethod
    def _is_of_image_files(cls, value: Any, info: ValidationInfo) -> Any:
        """But for `resize`, which also says how pictures that a run is shown later are brought to its size."""
        key, source = str(info.field_name), info.data.get("source", "")
        kind, _ = split_source(source)
        of_records = key in ("image_feature", "label_feature")
        is_used = kind == "tfrecord" if of_records else kind in FILES
        if not is_used and source and value != cls.model_fields[key].default:
            if not kind and os.path.exists(source) and not source.lower().endswith(".npz"):
                meant = "folder" if os.path.isdir(source) else "csv" if source.lower().endswith(".csv") else "tfrecord"
                raise ValueError(f"is for image files: if {source} holds or names some, write {meant}:{source}")
            files = "TFRecord files (tfrecord)" if of_records else f"image files ({', '.join(FILES)})"
            raise ValueError(f"is for {files}, and data.source is {source}: {_FIXES.get(key, 'leave it out')}")
        return value

    @property
    def augmentations(self) -> list[AugmentSection]:
        """All that is done to training images, in order."""
        return [*([Shift(name="shift", pixels=self.shift)] if self.shift else []), *self.augment]

    @property
    def mixes(self) -> bool:
        """Whether a training example is mixed with another one."""
        return any(isinstance(entry, MixUp | CutMix) for entry in self.augment)
