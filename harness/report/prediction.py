"""What the model predicts for the user's own pictures, printed before anything is explained, and whether they look
like the images of the data set."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.console.terminal import Terminal
from harness.data import own_images
from harness.data.classes import called
from harness.data.images import Stored
from harness.data.own_files import readable
from harness.insight.inference import sample
from harness.models.logits import probabilities
from harness.report.evaluated_model import EvaluatedModel, outputs_of
from harness.report.explanation import Request

_MOST = 2000
"""Images that are looked at, or fewer that are large: their range is known well enough then."""
_MARGIN = 8.0
"""Pixel values by which a picture may lie outside what they have."""
_CLASSES = 3


def unlike(picture: NDArray[Any], images: NDArray[Any] | Stored) -> str | None:
    """How a picture (height, width, channels) differs from the data set's images, in half a sentence; None if not.

    Its mean and the spread of its pixels, from the 1st percentile to the 99th, are compared with those of `images`,
    (n, height, width, channels): a picture outside all of theirs is like nothing that the model was trained
    on. If its mean is outside but that of the inverted picture isn't, dark and bright are swapped.
    """
    some = images[sample(images, _MOST)]
    means, spreads = _mean(some), _spread(some)
    (mean,), (spread,) = _mean(picture[None]), _spread(picture[None])
    low, high = means.min() - _MARGIN, means.max() + _MARGIN
    if not low <= mean <= high:
        difference = (
            f"its mean pixel is {mean:.0f}, that of the data set's images {means.min():.0f} to {means.max():.0f}"
        )
        return f"{difference}: dark and bright look swapped, try --invert" if low <= 255 - mean <= high else difference
    if spread < spreads.min() - _MARGIN:
        return (
            f"its pixels span {spread:.0f} of 255 levels, those of the data set's images {spreads.min():.0f} to "
            f"{spreads.max():.0f}: raise its contrast"
        )
    return None


def _mean(images: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(images.mean(axis=(1, 2, 3)))


def _spread(images: NDArray[Any]) -> NDArray[np.float64]:
    low, high = np.percentile(images, (1, 99), axis=(1, 2, 3))
    return np.asarray(high - low)


def print_predictions(evaluated: EvaluatedModel, request: Request, terminal: Terminal) -> None:
    """Print the likeliest classes of each of `request.files`, and warn of one that looks like no image of the data.

    Raises DataError if a file is not a picture.
    """
    if not request.files:
        return
    shape = evaluated.images.shape[1:]
    pictures = request.pictures(shape)
    images = evaluated.train.images if evaluated.train else evaluated.images
    outputs = probabilities(evaluated.logits, outputs_of(evaluated.logits, pictures))
    for path, picture, shares in zip(request.files, pictures, outputs, strict=True):
        best, *others = np.argsort(-shares, kind="stable")[:_CLASSES]
        then = ", ".join(f"{called(label, evaluated.class_names)} ({shares[label]:.3f})" for label in others)
        changes = ", ".join(own_images.changes(path, shape, request.resize))
        name = f"{readable(path.name)} ({changes})" if changes else readable(path.name)
        terminal.line(f"{name}: class {called(best, evaluated.class_names)} ({shares[best]:.3f}), then {then}")
        if difference := unlike(picture, images):
            terminal.warning(f"{readable(path.name)}: {difference}")
