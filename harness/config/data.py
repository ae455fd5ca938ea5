"""The `data:` section."""

import os
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from harness.config.section import Section

NAMES = ("mnist",)
"""The data sets that come with the package."""


def _absolute(source: str) -> str:
    """A path means the same file from every folder; a name stays as it is."""
    is_path = source not in NAMES and ("/" in source or source.lower().endswith(".npz") or os.path.isfile(source))
    return os.path.abspath(source) if is_path else source


class DataSection(Section):
    source: Annotated[str, AfterValidator(_absolute)] = "mnist"
    """A data set's name (`mnist`), or the path of an .npz file with x_train, y_train, x_test and y_test."""
    validation: int = Field(default=5000, ge=0)
    """How many of the last training rows are held out for validation; 0 for none."""
    stratify: bool = False
    """Hold out the last training rows of each class, as many as its share, instead of the last of all: for rows in the
    order of their classes."""
    shift: int = Field(default=0, ge=0)
    """Each training image is moved by up to this many pixels, at random, in both directions."""
    placement: Literal["auto", "device", "host"] = "auto"
    """Where the training images lie: on the device, or in the host's memory, from where batches are copied ahead.
    `auto`: on a GPU where they take less than a quarter of its free memory."""
