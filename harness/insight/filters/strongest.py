"""The images that excite each filter most, and how many it fires for at all: one pass over many images."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.insight.inference import batches, infer
from harness.insight.layers import before_activation, convolutions, features, image_shape
from harness.insight.receptive_fields import reaching, receptive_fields

RARE = 0.001
"""A filter that fires for a smaller share of the images is rare: it may as well have fired for none."""


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
    fires: NDArray[np.float64]
    """(filters,) for which share of the images some unit says more, after the activation, than the least that any unit
    of the filter says of any image. That least is zero for a relu, unless it is never at rest."""

    @property
    def dead(self) -> NDArray[np.bool_]:
        """(filters,): says the same at every position of every image."""
        return np.equal(self.fires, 0)

    @property
    def rare(self) -> NDArray[np.bool_]:
        """(filters,): fires, but for less than `RARE` of the images."""
        return (self.fires > 0) & (self.fires < RARE)

    def classes(self, labels: NDArray[Any]) -> list[dict[int, int]]:
        """Filter by filter, how many of its images are of each class, the most frequent first; labels (n,) of all."""
        histograms = []
        for rows in self.rows:
            found, counts = np.unique(labels[rows], return_counts=True)
            order = np.argsort(-counts, kind="stable")
            histograms.append(dict(zip(found[order].tolist(), counts[order].tolist(), strict=True)))
        return histograms


def strongest(
    model: keras.Model, images: NDArray[Any], *, best: int = 9, layers: Collection[str] | None = None
) -> dict[str, Strongest]:
    """For each filter of a convolutional layer the images whose strongest unit says most, before the activation.

    Only units count that the model's output can depend on: not those in a last row that a pooling leaves out, say. The
    images go through a batch at a time, and of its feature maps only the largest values are kept.

    Args:
        model: functional, from raw pixels.
        images: (n, height, width, channels), n of at least 1.
        best: how many images a filter; all of them where there are fewer.
        layers: the names of Conv2D layers; all of them where it is None.

    Returns:
        By layer, from the pixels upwards.

    Raises:
        UserError: the model has no Conv2D layer, or takes images of any size.
    """
    looked_at = [layer for layer in convolutions(model) if layers is None or layer.name in layers]
    through = keras.Model(model.inputs[0], [before_activation(model, layer) for layer in looked_at])
    positions = [_Positions.reaching(model, layer.name) for layer in looked_at]
    extremes = _compiled(through, [_activation(model, layer) for layer in looked_at], positions)
    found = [_Found.of_no_image(layer.filters) for layer in looked_at]
    for first, some in batches(through, images):
        found = [so_far.and_of(first, batch, best) for so_far, batch in zip(found, extremes(some), strict=True)]
    parts = zip(looked_at, found, positions, strict=True)
    return {layer.name: _strongest(model, layer.name, of, where, len(images)) for layer, of, where in parts}


def _activation(model: keras.Model, layer: keras.layers.Conv2D) -> Callable[[tf.Tensor], tf.Tensor]:
    last = features(model, layer)
    activation: Callable[[tf.Tensor], tf.Tensor] = layer.activation if last is layer else last
    return activation


class _Positions(NamedTuple):
    """Those that the model's output can depend on."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]

    @classmethod
    def reaching(cls, model: keras.Model, layer: str) -> "_Positions":
        rows, columns = reaching(model, layer)
        return cls(np.flatnonzero(rows), np.flatnonzero(columns))


_Extremes = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]


def _compiled(
    through: keras.Model, activations: list[Callable[[tf.Tensor], tf.Tensor]], positions: list[_Positions]
) -> Callable[[tf.Tensor], list[_Extremes]]:
    """From images to each layer's largest values and their units, (n, filters), counted row by row of those reached;
    and to the least and the largest value after the activation, (n, filters)."""

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def run(images: tf.Tensor) -> list[_Extremes]:
        of_layers = []
        outputs = keras.tree.flatten(infer(through, images))
        for maps, activation, where in zip(outputs, activations, positions, strict=True):
            units, after = _units(maps, where), _units(activation(maps), where)
            of_layers.append(
                (
                    tf.reduce_max(units, axis=1),
                    tf.argmax(units, axis=1),
                    tf.reduce_min(after, axis=1),
                    tf.reduce_max(after, axis=1),
                )
            )
        return of_layers

    # Traced here: TensorFlow takes functions that are made and called again and again for a mistake, and says so.
    return run.get_concrete_function(tf.TensorSpec((None, *image_shape(through)), tf.float32))  # type: ignore[no-any-return]


def _units(maps: tf.Tensor, where: _Positions) -> tf.Tensor:
    """(n, units, filters)"""
    if (len(where.rows), len(where.columns)) != tuple(maps.shape[1:3]):
        maps = tf.gather(tf.gather(maps, where.rows, axis=1), where.columns, axis=2)
    return tf.reshape(maps, (tf.shape(maps)[0], -1, maps.shape[-1]))


class _Found(NamedTuple):
    """Of one layer, in the images so far."""

    largest: NDArray[np.float32]
    """(filters, at most `best`), like the next two."""
    rows: NDArray[np.intp]
    units: NDArray[np.intp]
    """Counted row by row of those reached."""
    least: NDArray[np.float32]
    """(filters,), after the activation."""
    at_rest: NDArray[np.int64]
    """(filters,): in how many images no unit says more than the least."""

    @classmethod
    def of_no_image(cls, filters: int) -> "_Found":
        none = np.empty((filters, 0), np.intp)
        least = np.full(filters, np.inf, np.float32)
        return cls(none.astype(np.float32), none, none, least, np.zeros(filters, np.int64))

    def and_of(self, first: int, batch: _Extremes, best: int) -> "_Found":
        """With a batch, whose images are numbered from `first`."""
        values, where, low, high = (tensor.numpy() for tensor in batch)
        largest = np.concatenate([self.largest, values.T], axis=1)
        rows = np.concatenate([self.rows, np.broadcast_to(first + np.arange(len(values)), values.T.shape)], axis=1)
        units = np.concatenate([self.units, where.T], axis=1)
        kept = np.argsort(-largest, axis=1, kind="stable")[:, :best]
        largest, rows, units = (np.take_along_axis(of, kept, axis=1) for of in (largest, rows, units))
        least = np.minimum(self.least, low.min(axis=0))
        # Of an image that was at rest, some unit says more than a least that is lower.
        at_rest = np.where(least == self.least, self.at_rest, 0) + (high == least).sum(axis=0)
        return _Found(largest, rows, units, least, at_rest)


def _strongest(model: keras.Model, layer: str, found: _Found, where: _Positions, images: int) -> Strongest:
    fields = receptive_fields(model, layer)
    row, column = np.divmod(found.units, len(where.columns))
    rows, columns = where.rows[row], where.columns[column]
    return Strongest(
        found.rows,
        found.largest,
        np.stack([rows, columns], axis=-1),
        np.concatenate([fields.rows[rows], fields.columns[columns]], axis=-1),
        (images - found.at_rest) / images,
    )
