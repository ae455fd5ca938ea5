"""Numbers in words, alike on the page and in the pictures."""

import numpy as np
from numpy.typing import NDArray


def percent(probability: float) -> str:
    """A probability in per cent that never rounds up to certainty."""
    return "> 99.9 %" if probability > 0.999 else f"{100 * probability:.1f} %"


def of_starts(scores: NDArray[np.float32]) -> str:
    """What the starts of an ascent came to: the lowest, the median and the best."""
    return ", ".join(f"{score:.4g}" for score in np.quantile(scores, [0, 0.5, 1]))
