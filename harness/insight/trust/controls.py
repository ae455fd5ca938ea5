"""Maps that know nothing of the model: what a method has to be better than.

Those of the image alone are in the form of the saliency methods.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import sobel  # type: ignore[import-untyped]

from harness.insight.saliency import Explain, Logits, Maps
from harness.insight.trust.redraw import draw_anew, layers_with_weights, weights_restored

DRAWS = 4
"""Of untrained weights. The mean area of one draw's maps differs from another's by a standard deviation of up to 0.02
for the gradient, 0.07 for Grad-CAM and LRP."""


def brightness(logits: Logits, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """The mean over channels: the brightest pixels first."""
    result: Maps = images.mean(axis=-1, dtype=np.float32)
    return result


def centre(logits: Logits, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """A Gaussian in the middle, of a quarter of each side as its standard deviation: the same for every image."""
    rows, columns = (((np.arange(side) + 0.5) / side - 0.5) / 0.25 for side in images.shape[1:3])
    blob = np.exp(-(rows[:, np.newaxis] ** 2 + columns**2) / 2).astype(np.float32)
    return np.repeat(blob[np.newaxis], len(images), axis=0)


def edges(logits: Logits, images: NDArray[Any], labels: NDArray[Any]) -> Maps:
    """The Sobel gradient's magnitude of the mean over channels: an edge detector."""
    greys = images.mean(axis=-1, dtype=np.float32)
    return np.stack([np.hypot(sobel(grey, axis=0), sobel(grey, axis=1)) for grey in greys])


def chance(logits: Logits, images: NDArray[Any], labels: NDArray[Any], *, seed: int = 0) -> Maps:
    """Uniform noise, drawn by `seed` and the image."""
    seeds = [zlib.crc32(np.ascontiguousarray(image).tobytes()) for image in images]
    return np.stack([np.random.default_rng([seed, of]).random(images.shape[1:3], np.float32) for of in seeds])


def mean_of_others(maps: Maps) -> Maps:
    """For each image the mean of the other images' maps, each divided by its largest |value| first.

    (n, height, width) → the same; zero where there is no other.
    """
    sizes = np.abs(maps).max(axis=(1, 2), keepdims=True)
    alike = (maps / np.where(sizes > 0, sizes, 1)).astype(np.float64)
    result: Maps = ((alike.sum(axis=0) - alike) / max(len(maps) - 1, 1)).astype(np.float32)
    return result


def untrained(
    logits: keras.Model, methods: Mapping[str, Explain], images: NDArray[Any], labels: NDArray[Any], *, seed: int = 0
) -> dict[str, Maps]:
    """The methods' maps of the model before training: every weight drawn anew by its layer's own initializer.

    Four draws take turns: image i is explained by draw i mod 4, so that what is taken over images is no single
    network's luck. The model's weights are put back, whatever happens.
    """
    maps = {name: np.zeros(images.shape[:3], np.float32) for name in methods}
    with weights_restored(logits):
        for draw in range(min(DRAWS, len(images))):
            for place, layer in enumerate(layers_with_weights(logits)):
                draw_anew(layer, (seed, draw, place))
            rows = np.arange(draw, len(images), DRAWS)
            for name, method in methods.items():
                maps[name][rows] = method(logits, images[rows], labels[rows])
    return maps
