"""A unit of a model, computed from the pixels that it sees and no others."""

from typing import Any

import keras
import numpy as np

from harness.insight.inference import infer
from harness.insight.layers import image_shape
from harness.insight.receptive_fields import unit_of_all

_TRIED = 2
"""Images of noise on which the cut-out model is compared with the whole one."""
_TOLERANCE = 1e-4
"""Of the largest value."""


def of_window(
    model: keras.Model, maps: Any, layer: keras.layers.Conv2D, window: tuple[slice, slice]
) -> keras.Model | None:
    """What a layer's middle unit says, from the pixels of its receptive field: (n, *window, channels) to (n, filters).

    A convolution takes images of any size, so its unit that sees just the window is found among those of the smaller
    image. Padding may put that elsewhere, or nowhere, in relation to other layers': the answers are compared with the
    whole model's.

    Args:
        model: functional, from raw pixels; its layers are shared.
        maps: symbolic, (n, height, width, filters), what the layer says before its activation.
        layer: whose maps they are.
        window: the receptive field of the unit in the middle of the maps.

    Returns:
        None where the window is the whole image, or no unit of the smaller image does the same.
    """
    shape = image_shape(model)
    smaller = (*(of.stop - of.start for of in window), shape[2])
    if smaller == shape:
        return None
    unit = unit_of_all(model, layer.name, smaller[:2])
    if unit is None:
        return None
    whole = keras.Model(model.inputs[0], maps)
    cut = keras.models.clone_model(whole, input_tensors=keras.Input(smaller), clone_function=lambda shared: shared)
    part = keras.Model(cut.inputs[0], cut.outputs[0][:, unit[0], unit[1], :])
    noise = np.random.default_rng(0).uniform(0, 255, (_TRIED, *shape)).astype(np.float32)
    expected = infer(whole, noise).numpy()[:, maps.shape[1] // 2, maps.shape[2] // 2]
    error = np.abs(infer(part, noise[:, window[0], window[1]]).numpy() - expected).max()
    return part if error <= _TOLERANCE * np.abs(expected).max() else None
