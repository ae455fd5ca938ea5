"""What all saliency methods share: the images go through a chunk at a time, and the score is a logit."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.errors import UserError
from harness.insight.inference import infer
from harness.models.logits import takes

Maps = NDArray[np.float32]
Logits = Callable[[tf.Tensor], tf.Tensor]
Score = Callable[[tf.Tensor], tf.Tensor]
"""From logits (n, classes) to what is explained, (n,)."""

CHUNK = 64
"""Images explained at a time: bounds the memory, whatever the number of images."""


def logit_of(labels: tf.Tensor) -> Score:
    """The logits of the labels."""
    return lambda outputs: tf.gather(outputs, labels, batch_dims=1)


def in_chunks(
    logits: Logits,
    method: Callable[[tf.Tensor, tf.Tensor], NDArray[Any]],
    images: NDArray[Any],
    labels: NDArray[Any],
    shape: tuple[int, int] | None = None,
) -> Maps:
    """Maps of images (n, height, width, channels) and labels (n,), from `method`, which is given float32 images and
    int32 labels: (n, *shape), or where `shape` is None (n, height, width).

    Raises UserError where the labels do not fit the images, or either the model.
    """
    if images.ndim != 4:
        raise UserError(f"images of shape {images.shape}: give (n, height, width, channels)")
    if labels.shape != images.shape[:1]:
        raise UserError(f"labels of shape {labels.shape} for {len(images)} images: give one label an image")
    if labels.dtype.kind not in "iu":
        raise UserError(f"labels of {labels.dtype}: give integers")
    if isinstance(logits, keras.Model):
        _check(logits, images)
    if len(labels):
        classes = _classes(logits, images)
        if not 0 <= labels.min() <= labels.max() < classes:
            raise UserError(
                f"labels from {labels.min()} to {labels.max()}: the model has {classes} classes, 0 to {classes - 1}"
            )
    maps = np.zeros((len(images), *(shape or images.shape[1:3])), np.float32)
    for start in range(0, len(images), CHUNK):
        rows = slice(start, start + CHUNK)
        maps[rows] = method(tf.constant(images[rows], tf.float32), tf.constant(labels[rows], tf.int32))
    return maps


def _check(model: keras.Model, images: NDArray[Any]) -> None:
    if not takes(model, images.shape[1:]):
        raise UserError(f"images of shape {images.shape[1:]}: the model takes {model.inputs[0].shape[1:]}")
    given = model.outputs[0].shape[1:]
    if len(model.outputs) != 1 or len(given) != 1:
        raise UserError(
            f"the model {model.name} has {len(model.outputs)} outputs, of shape {given}: give one of logits (classes,)"
        )


def _classes(logits: Logits, images: NDArray[Any]) -> int:
    outputs = (
        logits.outputs[0] if isinstance(logits, keras.Model) else infer(logits, tf.constant(images[:1], tf.float32))
    )
    return int(outputs.shape[-1])
