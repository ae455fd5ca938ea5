"""Does a map say which pixels matter, where the missing ones are filled in from their neighbours?

ROAD, "remove and debias", of Rong et al. 2022, "A Consistent and Efficient Evaluation Strategy for Attribution
Methods" (arXiv 2202.00449): a filled-in pixel gives away less of the mask's shape than a black one.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix  # type: ignore[import-untyped]
from scipy.sparse.linalg import splu  # type: ignore[import-untyped]

from harness.insight.saliency import Logits, Maps
from harness.insight.trust.faithfulness import ranks
from harness.insight.trust.forward import predict, probability

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Of the pixels removed, as in the paper."""
NOISE = 0.01
"""Standard deviation of what is added to the filled-in pixels, as a share of the pixel range."""
_NEIGHBOURS = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0)]


class Removal(NamedTuple):
    """What is left of the prediction, (n, shares)."""

    probability: NDArray[np.float32]
    """Of the label."""
    kept: NDArray[np.bool_]
    """Whether the model still says the label; its mean is the paper's accuracy."""


class Road(NamedTuple):
    """What is left of the predictions as pixels are removed, from either end of a map's order."""

    most_first: Removal
    """The most important pixels removed: lower is better."""
    least_first: Removal
    """The least important ones: higher is better."""


def road(logits: Logits, maps: Maps, images: NDArray[Any], labels: NDArray[Any], *, seed: int = 0) -> Road:
    """Remove pixels of images (n, height, width, channels) in the order of maps (n, height, width).

    Equal values go in an order drawn by `seed` and the image's number, alike for every method.
    """
    pixels, most_first = images.astype(np.float32), ranks(maps, seed)
    orders = most_first, maps[0].size - 1 - most_first
    return Road(*(_removal(logits, pixels, labels, order, seed) for order in orders))


def imputed(image: NDArray[np.float32], missing: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Noisy linear imputation without the noise: each missing pixel is the weighted mean of its neighbours.

    As in the paper, direct neighbours weigh 1/6, diagonal ones 1/12, missing ones count with what they are
    filled in with, all together one sparse linear system; at the border the weights of what is there are scaled to 1.

    Args:
        image: (height, width, channels).
        missing: (height, width), not all of them.
    """
    height, width = missing.shape
    rows, columns = np.nonzero(missing)
    number = np.full(missing.shape, -1)
    number[rows, columns] = np.arange(len(rows))
    total, known = np.zeros(len(rows)), np.zeros((len(rows), image.shape[-1]))
    entries: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]] = []
    for down, right in _NEIGHBOURS:
        weight = 1 / 6 if 0 in (down, right) else 1 / 12
        inside = np.flatnonzero(
            (rows + down >= 0) & (rows + down < height) & (columns + right >= 0) & (columns + right < width)
        )
        at = rows[inside] + down, columns[inside] + right
        total[inside] += weight
        here = ~missing[at]
        known[inside[here]] += weight * image[at][here]
        entries.append((inside[~here], number[at][~here], np.full(int((~here).sum()), -weight)))
    entries.append((np.arange(len(rows)), np.arange(len(rows)), total))
    first, second, values = (np.concatenate(part) for part in zip(*entries, strict=True))
    result = image.copy()
    result[rows, columns] = splu(csc_matrix((values, (first, second)))).solve(known)
    return result


def _removal(
    logits: Logits, images: NDArray[np.float32], labels: NDArray[Any], order: NDArray[np.intp], seed: int
) -> Removal:
    count = order[0].size

    def removed(number: int) -> NDArray[np.float32]:
        of, share = divmod(number, len(SHARES))
        missing = order[of] < round(SHARES[share] * count)
        image = imputed(images[of], missing)
        noise = np.random.default_rng((seed, of, share)).normal(0, NOISE * 255, image.shape)
        return np.where(missing[..., np.newaxis], image + noise, image).astype(np.float32)

    outputs = predict(
        logits, lambda numbers: np.stack([removed(int(number)) for number in numbers]), len(images) * len(SHARES)
    )
    repeated = np.repeat(labels, len(SHARES))
    shape = len(images), len(SHARES)
    return Removal(
        probability(logits, outputs, repeated).reshape(shape), (outputs.argmax(axis=1) == repeated).reshape(shape)
    )
