"""What a run's model predicts for image files."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.config.data import DataSection
from harness.data import own_images, sources
from harness.errors import DataError, RunError
from harness.models.build import trained
from harness.runs.run_dir import RunDir

_BATCH = 32
"""Images: small, as those of a user's own model may be large, and the files take longer to read than the model does."""


class Rank(NamedTuple):
    """A class, and the model's probability for it."""

    label: int
    name: str | None
    """None where the run knows of no names."""
    probability: float


class Prediction(NamedTuple):
    """What the model says of one image file."""

    path: Path
    ranks: tuple[Rank, ...]
    """The likeliest classes, the first of them first."""


def of_run(
    run: RunDir, files: Sequence[Path], top: int = 3, refuse: Callable[[DataError], None] | None = None
) -> Iterator[Prediction]:
    """The `top` likeliest classes of each image file, by the exported model of `run`, some files at a time.

    Args:
        run: with a trained model.
        files: as `own_images.read` takes them, of any size and colour, brought to what the model takes as the run's
            `data.resize` has it.
        top: how many classes; all of them where there are fewer.
        refuse: is given the error of a file that can't be read, which is then left out; None to raise that.

    Raises:
        DataError: a file can't be read.
        RunError: the model can't be loaded, or takes no pictures.
    """
    model, data = trained(run), run.read_config().data
    shape = _image_shape(model, data)
    return predictions(model, _read(files, shape, data, refuse), shape, run.read_class_names(), top)


def predictions(
    model: keras.Model,
    pictures: Iterable[tuple[Path, NDArray[np.uint8]]],
    shape: tuple[int, int, int],
    names: Sequence[str] = (),
    top: int = 3,
) -> Iterator[Prediction]:
    """As `of_run`, by a model from pixels (n, *shape) to probabilities (n, classes), or (n, 1) for the second of two
    classes. It is traced once, whatever the number of pictures."""
    signature = tf.TensorSpec((None, *shape), model.input.dtype)
    forward = tf.function(lambda images: model(images, training=False), input_signature=[signature])
    to_come = iter(pictures)
    while some := list(islice(to_come, _BATCH)):
        images = np.stack([image for _, image in some]).astype(signature.dtype.as_numpy_dtype)
        for (path, _), shares in zip(some, _probabilities(forward, images), strict=True):
            yield Prediction(path, _ranks(shares, names, top))


def _read(
    files: Sequence[Path], shape: tuple[int, int, int], data: DataSection, refuse: Callable[[DataError], None] | None
) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    if shape[2] not in own_images.CHANNELS:
        raise RunError(
            f"the model takes images of {shape[2]} channels, and a picture has 1, 3 or 4: "
            "give arrays to model.keras, which keras.saving.load_model loads"
        )
    for path in files:
        try:
            (image,) = own_images.read([path], shape, resize=data.resize, scale=data.scale)
        except DataError as error:
            if refuse is None:
                raise
            refuse(error)
        else:
            yield path, image


def _image_shape(model: keras.Model, data: DataSection) -> tuple[int, int, int]:
    """Height, width and channels; where the model leaves sides open, of the images that it was trained on."""
    taken = model.input_shape[1:]
    if None in taken:
        return sources.load(data).image_shape
    height, width, channels = taken
    return height, width, channels


def _probabilities(
    forward: Callable[[NDArray[np.float32]], tf.Tensor], images: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(n, classes)"""
    outputs = np.asarray(forward(images), np.float32)
    if not np.isfinite(outputs).all():
        raise RunError(
            "the model returns numbers that are not finite: train it again, with a lower optimizer.learning_rate"
        )
    return np.concatenate([1 - outputs, outputs], axis=1) if outputs.shape[1] == 1 else outputs


def _ranks(shares: NDArray[np.float32], names: Sequence[str], top: int) -> tuple[Rank, ...]:
    best = np.argsort(-shares, kind="stable")[:top].tolist()
    return tuple(Rank(label, names[label] if label < len(names) else None, float(shares[label])) for label in best)
