"""Do a map's shares add up to what the model loses? Infidelity, of Yeh et al. 2019, "On the (In)fidelity and
Sensitivity of Explanations" (arXiv 1901.09392), definition 2.1."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.insight.saliency import Logits, Maps
from harness.insight.trust.forward import predict

SQUARES = 100
"""Perturbations of an image."""


def infidelity(
    logits: Logits,
    maps: Maps,
    images: NDArray[Any],
    labels: NDArray[Any],
    *,
    squares: int = SQUARES,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Per image (n,), in squared logits; lower is better:

        E over I of (Iᵀ β Φ - (f(x) - f(x without I)))²,    β = E[Iᵀ Φ · (f(x) - f(x without I))] / E[(Iᵀ Φ)²]

    Φ is the map, f the logit of the label. The perturbation I is the removal of a square of pixels, one of those that
    the paper takes: its side is drawn from 1 to half the shorter side of the image, its place from all where it lies
    within, and its pixels become black. A map gives a share for each pixel, so that Iᵀ Φ is its sum over the square
    (the paper's Φ for the removal of pixels, already multiplied by what they were).
    β is the best scale for the image, as in the authors' code, since many maps have no unit; it may be negative,
    and a map of zeros has none, and gets E[(f(x) - f(x without I))²].

    Args:
        maps: (n, height, width), signed or not.
        images: (n, height, width, channels) pixels.
        seed: draws the squares, the same for every image and every method.
    """
    kept = ~squares_of(images.shape[1:3], squares, seed)

    def without(numbers: NDArray[np.intp]) -> NDArray[Any]:
        of, square = np.divmod(numbers, squares)
        return images[of] * kept[square][..., np.newaxis]

    def of_label(outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        each = np.repeat(labels, len(outputs) // len(labels))
        return np.asarray(outputs[np.arange(len(each)), each], np.float64)

    whole = of_label(predict(logits, lambda numbers: images[numbers], len(images)))
    lost = whole[:, np.newaxis] - of_label(predict(logits, without, len(images) * squares)).reshape(-1, squares)
    predicted = maps.reshape(len(maps), -1).astype(np.float64) @ (~kept).reshape(squares, -1).T
    power = (predicted**2).mean(axis=1)
    scale = (predicted * lost).mean(axis=1) / np.where(power > 0, power, 1)
    result: NDArray[np.float64] = ((scale[:, np.newaxis] * predicted - lost) ** 2).mean(axis=1)
    return result


def squares_of(shape: tuple[int, ...], count: int, seed: int) -> NDArray[np.bool_]:
    """(count, height, width), True inside."""
    height, width = shape
    random = np.random.default_rng(seed)
    inside = np.zeros((count, height, width), np.bool_)
    for of in inside:
        side = random.integers(1, max(min(shape) // 2, 1), endpoint=True)
        top, left = random.integers(0, height - side, endpoint=True), random.integers(0, width - side, endpoint=True)
        of[top : top + side, left : left + side] = True
    return inside
