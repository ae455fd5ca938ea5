"""The networks of keras.applications as they are, for pixels from 0 to 255."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np


def is_application(path: str) -> bool:
    """Whether an import path leads into keras.applications."""
    return path.startswith("keras.applications")


def of_pixels(
    network: Callable[..., keras.Model],
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    scales: bool = True,
    **arguments: Any,
) -> keras.Model:
    """One of keras.applications, from pixels to logits.

    Args:
        network: such as keras.applications.ResNet50.
        image_shape: height, width, channels.
        classes: how many logits.
        scales: whether the network's own scaling stands in front of it.
        arguments: the network's own; `weights` is None, for initial weights, or the path of a file.

    Where the network scales no pixels itself, its module's `preprocess_input` says how, as layers in front of it.
    """
    own = {"weights": None, "classes": classes, "classifier_activation": None} | arguments
    weights = own["weights"]
    if weights is not None and not str(weights).endswith((".h5", ".keras", ".hdf5")):
        raise ValueError(f"weights={weights!r} would be downloaded: give null, or a file of weights by its path")
    if weights is not None and not Path(weights).is_file():
        raise ValueError(f"weights={weights!r}: there is no such file")
    inner = network(input_shape=image_shape, **own)
    pixels = keras.Input(image_shape, name="pixels")
    return keras.Model(pixels, inner(_preprocessed(pixels, network) if scales else pixels), name=inner.name)


def _preprocessed(pixels: Any, network: Callable[..., keras.Model]) -> Any:
    """What the module of the network makes of pixels, which is an affine function of each channel, in some order."""
    preprocess = sys.modules[network.__module__].preprocess_input
    channels = pixels.shape[-1]
    if channels != 3:  # which it can't take: the scale of the others is as good
        return keras.layers.Rescaling(1 / 127.5, -1, name="scale")(pixels)
    at_zero, at_one = (np.asarray(preprocess(np.full((1, 1, 3), value, np.float32)))[0, 0] for value in (0, 1))
    scale, offset = at_one - at_zero, at_zero
    if np.array_equal(scale, np.ones(3)) and not offset.any():
        return pixels
    red = np.asarray(preprocess(np.asarray([[[255.0, 0, 0]]], np.float32)))[0, 0] - offset
    if np.argmax(red) == 2:
        pixels = pixels[..., ::-1]
    return keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="scale")(pixels)
