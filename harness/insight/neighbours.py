"""The images that a model takes for alike: nearest in its last hidden layer."""

from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.inference import batches, infer


class Neighbours(NamedTuple):
    """For each of n images those nearest to it."""

    rows: NDArray[np.intp]
    """(n, count) which images, the most alike first; of equals the one with the smaller number."""
    similarity: NDArray[np.float32]
    """(n, count) cosines."""


def last_hidden(model: keras.Model) -> keras.Model | None:
    """The part of a functional model up to what its last layer with weights is given: images -> (n, features).

    Feature maps, where that is a convolution, become their means over positions. None where it is given the pixels.
    """
    last = next((layer for layer in reversed(model.layers) if layer.weights), None)
    if last is None or last.input is model.inputs[0]:
        return None
    hidden = last.input
    return keras.Model(model.inputs[0], keras.ops.mean(hidden, axis=(1, 2)) if len(hidden.shape) == 4 else hidden)


def nearest(part: keras.Model, images: NDArray[Any], among: NDArray[Any], count: int) -> Neighbours:
    """For each image the `count` of `among` whose features, by `last_hidden`, point most nearly the same way.

    Args:
        images, among: (n, height, width, channels) and (m, height, width, channels), in what the model takes.
        count: all of them where there are fewer.
    """
    similarity = _directions(part, images) @ _directions(part, among).T
    rows = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
    return Neighbours(rows, np.take_along_axis(similarity, rows, axis=1))


def _directions(part: keras.Model, images: NDArray[Any]) -> NDArray[np.float32]:
    features = np.concatenate([infer(part, some).numpy() for _, some in batches(part, images)])
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(lengths > 0, lengths, 1), np.float32)
