"""Images and maps as small PNGs, a pixel a pixel."""

import io
from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from harness.report.picture import SIGNED, UNSIGNED, displayable

_LONGEST = 128
"""Pixels of the longer side at most: larger ones are averaged, to keep the page small."""


def image_tile(image: NDArray[Any]) -> bytes:
    """The PNG of an image, (height, width, channels) pixels."""
    return _png(displayable(image))


def map_tile(values: NDArray[np.float32], signed: bool) -> bytes:
    """The PNG of a map, (height, width), scaled to its own largest |value|: signed ones diverge about zero."""
    limit = float(np.abs(values).max()) or 1.0
    share = (values / limit + 1) / 2 if signed else values / limit
    return _png(colormaps[SIGNED if signed else UNSIGNED](share)[..., :3])


def _png(colours: NDArray[Any]) -> bytes:
    picture = Image.fromarray(np.rint(255 * colours).astype(np.uint8))
    step = -(-max(picture.size) // _LONGEST)
    buffer = io.BytesIO()
    picture.reduce(step).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
