"""An augmentation of one's own: noise on the pixels.

    harness train mnist --set data.augment='[{name: "noise:noise", strength: 20}]'

In Python: `harness.train("mnist", augment=[noise])`.
"""

from collections.abc import Callable

import tensorflow as tf


def noise(images: tf.Tensor, random: Callable[[int], tf.Tensor], strength: float = 10.0) -> tf.Tensor:
    """Images with up to `strength` levels added to or taken from each pixel.

    Args:
        images: (n, height, width, channels) float32, 0 to 255.
        random: `random(k)` gives (n, k) float32, uniform from 0 to below 1, by the examples' positions.

    Returns:
        (n, height, width, channels) float32; what is outside of 0 to 255 is cut off in the end.
    """
    numbers = random(images.shape[1] * images.shape[2] * images.shape[3])
    return images + strength * (2 * tf.reshape(numbers, tf.shape(images)) - 1)
