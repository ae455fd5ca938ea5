"""The CNN that comes with the package, from raw pixels to logits."""

import keras
import numpy as np

from harness.config.model import NAMES as NAMES
from harness.errors import DataError

# Below these sides nothing is left behind the last convolution or pooling.
_SMALLEST_SIDE = {"cnn": 22, "cnn_two_pools": 18}


def check_image_shape(name: str, image_shape: tuple[int, int, int]) -> None:
    """Raise DataError where images of that height, width and channels are too small for the model."""
    height, width, _ = image_shape
    smallest = _SMALLEST_SIDE[name]
    if min(height, width) < smallest:
        raise DataError(
            f"images of {height}×{width} pixels are too small for the model {name}: at least {smallest}×{smallest}, "
            f"which model.input.size: {smallest} makes of them"
        )


def build(
    name: str,
    image_shape: tuple[int, int, int],
    classes: int,
    seed: int,
    dtype: str = "float32",
    *,
    scales: bool = True,
) -> keras.Model:
    """The CNN with its last pooling (`cnn`) or without (`cnn_two_pools`).

    Args:
        name: one of NAMES.
        image_shape: height, width, channels.
        classes: how many logits.
        seed: decides the initial weights, together with nothing else.
        dtype: of weights and computation, float32 or float64; with bfloat16 or float16 the hidden layers compute in
            that, while all weights, the scaled pixels and the logits are float32.
        scales: whether it divides pixels by 255, or takes what is scaled already.

    Returns:
        A model from pixels (n, height, width, channels), 0 to 255, to logits (n, classes).
    """
    hidden, outer = (f"mixed_{dtype}", "float32") if dtype in ("bfloat16", "float16") else (dtype, dtype)
    weight_seeds = iter(np.random.SeedSequence(seed).generate_state(5))

    def initial() -> keras.initializers.Initializer:
        return keras.initializers.GlorotUniform(seed=int(next(weight_seeds)))

    def conv(filters: int, number: int) -> keras.layers.Layer:
        return keras.layers.Conv2D(
            filters, 3, activation="relu", kernel_initializer=initial(), dtype=hidden, name=f"conv_{number}"
        )

    def pool(number: int) -> keras.layers.Layer:
        return keras.layers.MaxPooling2D(2, dtype=hidden, name=f"pool_{number}")

    pixels = keras.Input(image_shape, dtype=outer, name="pixels")
    x = keras.layers.Rescaling(1 / 255, dtype=outer, name="scale")(pixels) if scales else pixels
    x = pool(1)(conv(32, 1)(x))
    x = pool(2)(conv(64, 2)(x))
    x = conv(64, 3)(x)
    if name == "cnn":
        x = pool(3)(x)
    x = keras.layers.Flatten(dtype=hidden, name="flatten")(x)
    x = keras.layers.Dense(64, activation="relu", kernel_initializer=initial(), dtype=hidden, name="dense")(x)
    logits = keras.layers.Dense(classes, kernel_initializer=initial(), dtype=outer, name="logits")(x)
    return keras.Model(pixels, logits, name=name)
