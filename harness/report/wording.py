"""Numbers and lists in words, alike on the page and in the pictures."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def percent(probability: float) -> str:
    """A probability as a percentage that never rounds up to certainty."""
    return "> 99.9%" if probability > 0.999 else f"{100 * probability:.1f}%"


def of_starts(scores: NDArray[np.float32]) -> str:
    """What the starts of an ascent came to: the lowest, the median and the best."""
    return ", ".join(f"{score:.4g}" for score in np.quantile(scores, [0, 0.5, 1]))


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last
