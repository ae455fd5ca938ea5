"""A trained model, and what it says of labelled images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from harness.config import Config
from harness.data import own_files, sources
from harness.data.images import Stored
from harness.data.npz import opened
from harness.data.sources import DataSet, Split, check_labels, check_rows
from harness.errors import DataError
from harness.models.build import trained
from harness.models.export import load
from harness.models.logits import pixels_to_logits, probabilities
from harness.runs.run_dir import RunDir

_BATCH = 250
_LARGEST = 1e30
"""Beyond, float32 overflows."""


@dataclass(frozen=True)
class EvaluatedModel:
    """A model with its images, in pixels from 0 to 255."""

    name: str
    logits: keras.Model
    """Functional, from pixels to (n, classes)."""
    images: Any
    """(n, height, width, channels), uint8 or float32: an array, or images that are read by row number."""
    labels: NDArray[np.int32]
    """(n,)"""
    outputs: NDArray[np.float32]
    """(n, classes), what the model says of these images, before a softmax or sigmoid."""
    train: Split | None = None
    """What it was trained on, where that is known."""
    class_names: tuple[str, ...] = ()
    """By label; empty where classes are mere numbers."""

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """(n, classes)"""
        return probabilities(self.logits, self.outputs)

    @property
    def predicted(self) -> NDArray[np.intp]:
        """(n,)"""
        return np.asarray(self.probabilities.argmax(axis=1))


def of_run(
    run: RunDir, config: Config, rows: Sequence[int] = (), warn: Callable[[str], None] = lambda text: None
) -> EvaluatedModel:
    """A run's model, on the test images of its config, or of one with other data; `warn` is called where these have
    changed.

    Raises RunError and DataError if model or data are missing or do not fit, or one of `rows` is not a test image.
    """
    data = sources.load(config.data)
    run.check_same_classes(data.class_names, config.data.source)
    if change := run.change_of_data(data.sha256, config.data.source):
        warn(change)
    check_rows(rows, len(data.y_test))
    evaluated = of_model(run.path.resolve().name, trained(run.with_model()), data)
    train, _, _ = data.for_outputs(evaluated.logits.output_shape[-1]).split_for(config)
    return replace(evaluated, train=train)


def of_model(name: str, model: keras.Model, data: DataSet) -> EvaluatedModel:
    """A classifier of pixels, on a data set's test images. Raises RunError and DataError where they do not fit."""
    logits = pixels_to_logits(model, data.image_shape)
    data = data.for_outputs(logits.output_shape[-1])
    return replace(_evaluated(name, logits, data.x_test, data.y_test), class_names=data.class_names)


def of_files(model_file: Path, data_file: Path, rows: Sequence[int] = ()) -> EvaluatedModel:
    """Any Keras model, on the user's own images.

    Args:
        model_file: a `.keras` file; loaded in safe mode.
        data_file: an .npz file of `images`, (n, height, width[, channels]), in what the model takes, and `labels`,
            (n,); or of `x_test` and `y_test`. uint8 are pixels; floats are taken to be scaled from 0 to 1, from -1 to
            1 or from 0 to 255, whichever holds them all, and else from their own least value to their largest.
        rows: images that must be there.

    Raises:
        RunError: the file is not a Keras model that loads in safe mode, or the model does not classify images.
        DataError: the arrays are missing, or do not fit each other or the model, or one of `rows` isn't there.
    """
    images, labels = _read(data_file)
    check_rows(rows, len(images))
    low, high = (0.0, 255.0) if images.dtype == np.uint8 else _range(data_file, images)
    height, width, channels = images.shape[1:]
    logits = pixels_to_logits(load(model_file), (height, width, channels), low, high)
    if images.dtype != np.uint8:
        images = ((images.astype(np.float64) - low) * (255 / (high - low))).astype(np.float32)
    return _evaluated(own_files.readable(model_file.stem), logits, images, labels)


def outputs_of(logits: keras.Model, images: NDArray[Any] | Stored) -> NDArray[np.float32]:
    """What the model says of images (n, height, width, channels): (n, classes) logits."""
    starts = range(0, len(images), _BATCH)
    return np.concatenate([logits.predict_on_batch(images[at : at + _BATCH].astype(np.float32)) for at in starts])


def _evaluated(name: str, logits: keras.Model, images: Any, labels: NDArray[Any]) -> EvaluatedModel:
    classes = logits.output_shape[-1]
    check_labels(labels.max(), classes)
    evaluated = EvaluatedModel(name, logits, images, labels.astype(np.int32), outputs_of(logits, images))
    if not np.isfinite(evaluated.probabilities).all():
        row = int(np.argmin(np.isfinite(evaluated.probabilities).all(axis=1)))
        raise DataError(f"the model {name} returns values that are not finite for test image {row}")
    return evaluated


def _read(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    with opened(path, str(path)) as file:
        names = own_files.arrays_in(path, file)
        images, labels = (file[name] for name in names)
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if not images.size:
        raise DataError(f"{path} holds no images: its array has the shape {images.shape}")
    if images.ndim != 4 or images.dtype.kind not in "uf":
        raise DataError(
            f"{path}: images must be uint8 or floats (n, height, width[, channels]), not {images.dtype} {images.shape}"
        )
    if images.dtype.kind == "u" and images.dtype != np.uint8:
        raise DataError(f"{path}: images must be uint8 or floats, not {images.dtype}")
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise DataError(f"{path}: labels must be {len(images)} integers, not {labels.dtype} {labels.shape}")
    if labels.min() < 0:
        raise DataError(f"{path}: labels must be 0 or more, found {labels.min()}")
    if not (np.abs(images) <= _LARGEST).all():
        raise DataError(f"{path}: images must be finite, and between -{_LARGEST:g} and {_LARGEST:g}")
    return images, labels


def _range(path: Path, images: NDArray[Any]) -> tuple[float, float]:
    least, largest = float(images.min()), float(images.max())
    for low, high in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)):
        if low <= least and largest <= high:
            return low, high
    if np.float32(least) == np.float32(largest):
        raise DataError(f"{path}: images must hold more than one value, or lie between 0 and 255: all are {least:g}")
    return least, largest
