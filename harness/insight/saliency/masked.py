"""What a model says of an image of which only parts are seen: what occlusion and RISE ask it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.insight.inference import infer
from harness.insight.saliency.chunks import Logits

_AT_ONCE = 128
_VALUES = 2**22
"""Of as many copies of an image as the model is shown at a time: for large images there are fewer."""


def portions(masks: int, image_shape: tuple[int, ...]) -> Iterator[slice]:
    """Parts of the masks, of nearly equal size, that fit into memory with an image of that shape under each."""
    most = max(1, min(_AT_ONCE, _VALUES // int(np.prod(image_shape))))
    parts = -(-masks // most)
    size = -(-masks // parts)
    return (slice(start, start + size) for start in range(0, masks, size))


def logits_under(logits: Logits, image: tf.Tensor, seen: NDArray[Any], shade: float = 0.0) -> NDArray[np.float32]:
    """The logits under each mask, (masks, classes).

    Args:
        image: (height, width, channels), float32.
        seen: (masks, height, width), from 0 for pixels that `shade` stands for to 1 for those that are as they are.
    """
    found = _says(logits, image, tf.constant(seen, tf.float32), tf.constant(shade, tf.float32))
    return np.asarray(found, np.float32)


@tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
def _says(logits: Logits, image: tf.Tensor, seen: tf.Tensor, shade: tf.Tensor) -> tf.Tensor:
    return infer(logits, shade + seen[..., tf.newaxis] * (image - shade))
