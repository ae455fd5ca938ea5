"""Images of another range than 0 to 255, brought to pixels as the user has declared that range."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError

_ROWS_AT_A_TIME = 1000


class Scale(NamedTuple):
    """The values that become 0 and 255."""

    low: float
    high: float

    def to_pixels(self, images: NDArray[Any], source: str) -> NDArray[np.uint8]:
        """Images of numbers, (n, …), as uint8: 255 (x - low) / (high - low), rounded to the nearest.

        Raises DataError where a value is outside of the range, or none.
        """
        pixels = np.empty(images.shape, np.uint8)
        for at in range(0, len(images), _ROWS_AT_A_TIME):
            some = np.asarray(images[at : at + _ROWS_AT_A_TIME])
            least, largest = some.min(), some.max()
            if not (self.low <= least and largest <= self.high):
                raise DataError(
                    f"data.scale: [{self.low:g}, {self.high:g}] doesn't hold the values of {source}: found "
                    f"{least:g} to {largest:g}"
                )
            pixels[at : at + len(some)] = np.rint((some - self.low) * (255 / (self.high - self.low)))
        return pixels
