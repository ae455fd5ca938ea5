"""A small network with BatchNormalization, for images that the CNN of MNIST is too small for.

It comes in by the door of everybody's own models: `model: {name: "harness.models.vgg:small_vgg", dropout: 0.5}`.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers


def small_vgg(
    image_shape: tuple[int, int, int],
    classes: int,
    widths: Sequence[int] = (32, 64, 128),
    depths: Sequence[int] = (1, 2, 1),
    dropout: float = 0.3,
) -> keras.Model:
    """Stages of 3×3 convolutions with a max pooling behind each (Simonyan & Zisserman 2014, arXiv 1409.1556), with
    BatchNormalization and one dense layer; 141,994 parameters for 10 classes of 28×28 grey pixels.

    Args:
        image_shape: height, width, channels; a side halves at each stage.
        classes: how many logits.
        widths: channels of each stage.
        depths: convolutions of each stage.
        dropout: the share of the last features that a training step leaves out.

    Returns:
        A model from pixels (n, height, width, channels), 0 to 255, to logits (n, classes).
    """
    outer = keras.config.dtype_policy().variable_dtype  # float32 where the hidden layers compute in half precision
    pixels = keras.Input(image_shape, dtype=outer, name="pixels")
    x = layers.Rescaling(1 / 255, dtype=outer, name="scale")(pixels)
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        for number in range(1, depth + 1):
            x = _convolved(x, width, f"{stage}_{number}")
        x = layers.MaxPooling2D(2, name=f"pool_{stage}")(x)
    x = layers.Dropout(dropout, name="dropout")(layers.Flatten(name="flatten")(x))
    return keras.Model(pixels, layers.Dense(classes, dtype=outer, name="logits")(x), name="small_vgg")


def _convolved(x: Any, width: int, number: str) -> Any:
    x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv_{number}")(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"norm_{number}")(x)
    return layers.ReLU(name=f"relu_{number}")(x)
