"""What a model says of many images that are made a chunk at a time."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.insight.inference import infer
from harness.insight.saliency import Logits
from harness.models.logits import probabilities

_CHUNK = 128


def predict(
    logits: Logits, make: Callable[[NDArray[np.intp]], NDArray[Any]], count: int, chunk: int = _CHUNK
) -> NDArray[np.float32]:
    """Logits (count, classes) of the images of numbers 0 to count - 1, which `make` gives for some of them."""
    chunk = -(-count // -(-count // chunk))  # nearly equal parts: the last one is filled up
    found = []
    for start in range(0, count, chunk):
        # All chunks are of one shape, for which the model is compiled, and on GPUs its kernels chosen, once.
        images = make(np.arange(start, start + chunk) % count)
        found.append(_outputs(logits, tf.constant(images, tf.float32)).numpy())
    return np.concatenate(found)[:count]


def probability(logits: Logits, outputs: NDArray[np.float32], labels: NDArray[Any]) -> NDArray[np.float32]:
    """Of the labels (n,), from what the model gives, (n, classes)."""
    of_labels: NDArray[np.float32] = probabilities(logits, outputs)[np.arange(len(labels)), labels]
    return of_labels


@tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
def _outputs(logits: keras.Model, images: tf.Tensor) -> tf.Tensor:
    return infer(logits, images)
