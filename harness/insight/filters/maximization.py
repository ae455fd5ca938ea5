"""What excites a model most: patches of image for its filters, whole images for its classes.

By an ascent of our own (ascent.py): that of tf-keras-vis 0.8.7 bounds the pixels only when it has ended, adds one shift
of its jitter to the other and never takes them back, and draws them from NumPy's global generator.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.filters.ascent import ascend
from harness.insight.filters.window import of_window
from harness.insight.layers import before_activation, centre_unit, convolution, image_shape
from harness.insight.receptive_fields import receptive_fields
from harness.models.logits import probabilities

STARTS = 3
"""For each filter."""
CLASS_STARTS = 12
"""For each class: a class has many ways to get stuck, and there are few classes."""
STEPS = 60
_SIDES_PER_JITTER = 8


@dataclass(frozen=True)
class OptimalPatches:
    """For each filter the patch that excites it most, of those that were found."""

    patches: NDArray[np.float32]
    """(filters, height, width, channels) pixels, 0 to 255; height and width of the middle unit's receptive field."""
    scores: NDArray[np.float32]
    """(filters,): what the middle unit says, before its activation, of the patch where it belongs, in grey."""
    of_starts: NDArray[np.float32]
    """(filters, starts): what each start came to; the patch is the best one's."""
    rows: slice
    columns: slice
    """Where in the image the patch belongs."""


@dataclass(frozen=True)
class OptimalImages:
    """For each class the image with the highest logit, of those that were found."""

    images: NDArray[np.float32]
    """(classes, height, width, channels) pixels, 0 to 255."""
    logits: NDArray[np.float32]
    """(classes,): what the model says of the image for the class."""
    probabilities: NDArray[np.float32]
    """(classes,)"""
    of_starts: NDArray[np.float32]
    """(classes, starts): the logit that each start came to; the image is the best one's."""


def activation_maximization(
    model: keras.Model,
    layer: str,
    *,
    filters: Sequence[int] | None = None,
    seeds: int = STARTS,
    seed: int = 0,
    steps: int = STEPS,
    jitter: int | None = None,
) -> OptimalPatches:
    """For each filter of a convolutional layer the patch of image that excites its middle unit most, of those that an
    ascent from several starts finds.

    Before the activation, after which a silent filter has no gradient. The middle unit, not the mean over the
    feature map: what suits a whole map is one flat shade where the layer is linear. Erhan et al. 2009, "Visualizing
    Higher-Layer Features of a Deep Network", section 3.

    Args:
        model: functional, from raw pixels.
        layer: the name of a Conv2D layer.
        filters: which of its filters; all where it is None.
        seeds: how many starts; the best is kept. `seed` draws them.
        jitter: by how many pixels the image is shifted at most; an eighth of the patch's shorter side where it is None.

    Raises:
        UserError: there is no such layer, or the model takes images of any size.
    """
    of = convolution(model, layer)
    rows, columns = receptive_fields(model, layer).middle()
    maps = before_activation(model, of)
    part = of_window(model, maps, of, (rows, columns)) or keras.Model(model.inputs[0], centre_unit(maps))
    if jitter is None:
        jitter = min(rows.stop - rows.start, columns.stop - columns.start) // _SIDES_PER_JITTER
    units = np.arange(of.filters) if filters is None else np.array(filters, np.intp)
    found = ascend(part, units, image_shape(model), (rows, columns), seeds=seeds, seed=seed, steps=steps, jitter=jitter)
    return OptimalPatches(found.images, found.scores, found.of_starts, rows, columns)


def class_optimal_images(
    model: keras.Model,
    classes: NDArray[np.integer],
    *,
    seeds: int = CLASS_STARTS,
    seed: int = 0,
    steps: int = STEPS,
    jitter: int | None = None,
) -> OptimalImages:
    """For each of the classes, (n,), the image that raises its logit most, of those that an ascent from several starts
    finds.

    Simonyan et al. 2013, "Deep Inside Convolutional Networks" (arXiv 1312.6034), section 2, with the total variation
    for their norm. The logit, not the probability, which also rises where other classes fall.

    Args:
        model: functional, from raw pixels to logits.
        seeds, seed, steps, jitter: as in `activation_maximization`, the whole image for the patch.

    Raises:
        UserError: the model takes images of any size.
    """
    shape = height, width, _ = image_shape(model)
    whole = slice(0, height), slice(0, width)
    if jitter is None:
        jitter = min(height, width) // _SIDES_PER_JITTER
    part = keras.Model(model.inputs[0], model.outputs[0])
    found = ascend(part, classes, shape, whole, seeds=seeds, seed=seed, steps=steps, jitter=jitter)
    outputs = probabilities(model, model.predict_on_batch(found.images))
    return OptimalImages(found.images, found.scores, outputs[np.arange(len(classes)), classes], found.of_starts)
