"""The images that excite each filter most, and which filters are dead: one pass over many images."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.insight.filters.batches import batches
from harness.insight.inference import infer
from harness.insight.layers import before_activation, convolutions, features, image_shape
from harness.insight.receptive_fields import receptive_fields


@dataclass(frozen=True)
class Strongest:
    """Of one layer's filters."""

    rows: NDArray[np.intp]
    """(filters, best) which images, the strongest first; of equals the one with the smaller number."""
    activations: NDArray[np.float32]
    """(filters, best) what each image's strongest unit says, before the activation."""
    units: NDArray[np.intp]
    """(filters, best, 2) that unit's row and column in the feature map."""
    fields: NDArray[np.intp]
    """(filters, best, 4) the pixels it sees: the first row and the one after the last, and the columns likewise."""
    dead: NDArray[np.bool_]
    """(filters,): says the same at every position of every image, after the activation. That of a relu is zero."""

    def classes(self, labels: NDArray[Any]) -> list[dict[int, int]]:
        """Filter by filter, how many of its images are of each class, the most frequent first; labels (n,) of all."""
        histograms = []
        for rows in self.rows:
            found, counts = np.unique(labels[rows], return_counts=True)
            order = np.argsort(-counts, kind="stable")
            histograms.append(dict(zip(found[order].tolist(), counts[order].tolist(), strict=True)))
        return histograms


def strongest(model: keras.Model, images: NDArray[Any], *, best: int = 9) -> dict[str, Strongest]:
    """For each filter of every convolutional layer the images whose strongest unit says most, before the activation.

    The images go through a batch at a time, and of its feature maps only the largest values are kept.

    Args:
        model: functional, from raw pixels.
        images: (n, height, width, channels), n of at least 1.
        best: how many images a filter; all of them where there are fewer.

    Returns:
        By layer, from the pixels upwards.

    Raises:
        UserError: the model has no Conv2D layer, or takes images of any size.
    """
    layers = convolutions(model)
    through = keras.Model(model.inputs[0], [before_activation(model, layer) for layer in layers])
    extremes = _compiled(through, [_activation(model, layer) for layer in layers])
    found = [_Found.of_no_image(layer.filters) for layer in layers]
    for first, some in batches(through, images):
        found = [so_far.and_of(first, batch, best) for so_far, batch in zip(found, extremes(some), strict=True)]
    return {layer.name: _told(model, layer.name, of) for layer, of in zip(layers, found, strict=True)}


def _activation(model: keras.Model, layer: keras.layers.Conv2D) -> Callable[[tf.Tensor], tf.Tensor]:
    last = features(model, layer)
    activation: Callable[[tf.Tensor], tf.Tensor] = layer.activation if last is layer else last
    return activation


_Extremes = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]


def _compiled(
    through: keras.Model, activations: list[Callable[[tf.Tensor], tf.Tensor]]
) -> Callable[[tf.Tensor], list[_Extremes]]:
    """From images to each layer's largest values and their units, (n, filters), and its range after the activation."""

    @tf.function  # type: ignore[untyped-decorator]
    def run(images: tf.Tensor) -> list[_Extremes]:
        of_layers = []
        for maps, activation in zip(keras.tree.flatten(infer(through, images)), activations, strict=True):
            units = tf.reshape(maps, (tf.shape(maps)[0], -1, maps.shape[-1]))
            after = activation(maps)
            of_layers.append(
                (
                    tf.reduce_max(units, axis=1),
                    tf.argmax(units, axis=1),
                    tf.reduce_min(after, axis=(0, 1, 2)),
                    tf.reduce_max(after, axis=(0, 1, 2)),
                )
            )
        return of_layers

    # Traced here: TensorFlow takes functions that are made and called again and again for a mistake, and says so.
    return run.get_concrete_function(tf.TensorSpec((None, *image_shape(through)), tf.float32))  # type: ignore[no-any-return]


class _Found(NamedTuple):
    """Of one layer, in the images so far."""

    largest: NDArray[np.float32]
    """(filters, at most `best`), like the next two."""
    rows: NDArray[np.intp]
    units: NDArray[np.intp]
    """Counted row by row."""
    low: NDArray[np.float32]
    """(filters,)"""
    high: NDArray[np.float32]

    @classmethod
    def of_no_image(cls, filters: int) -> "_Found":
        none = np.empty((filters, 0), np.intp)
        low, high = (np.full(filters, limit, np.float32) for limit in (np.inf, -np.inf))
        return cls(none.astype(np.float32), none, none, low, high)

    def and_of(self, first: int, batch: _Extremes, best: int) -> "_Found":
        """With a batch, whose images are numbered from `first`."""
        values, where, low, high = (tensor.numpy() for tensor in batch)
        largest = np.concatenate([self.largest, values.T], axis=1)
        rows = np.concatenate([self.rows, np.broadcast_to(first + np.arange(len(values)), values.T.shape)], axis=1)
        units = np.concatenate([self.units, where.T], axis=1)
        kept = np.argsort(-largest, axis=1, kind="stable")[:, :best]
        largest, rows, units = (np.take_along_axis(of, kept, axis=1) for of in (largest, rows, units))
        return _Found(largest, rows, units, np.minimum(self.low, low), np.maximum(self.high, high))


def _told(model: keras.Model, layer: str, found: _Found) -> Strongest:
    fields = receptive_fields(model, layer)
    rows, columns = np.divmod(found.units, len(fields.columns))
    return Strongest(
        found.rows,
        found.largest,
        np.stack([rows, columns], axis=-1),
        np.concatenate([fields.rows[rows], fields.columns[columns]], axis=-1),
        found.low == found.high,
    )
