"""Images and maps as small PNGs, a pixel a pixel, and the outline that is drawn over a map."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from harness.page.picture import SIGNED, UNSIGNED, displayable

_IMAGE_SIDE, _OUTLINE_SIDE = 128, 64
"""Pixels of the longer side at most: larger ones are averaged, to keep the page small."""


@dataclass(frozen=True)
class Outline:
    """The border between what is darker and what is brighter than middle grey."""

    path: str
    """An SVG path along the pixels' edges, in `width` times `height`; empty where the image has none."""
    width: int
    height: int

    @classmethod
    def of(cls, image: NDArray[Any]) -> "Outline":
        """Of an image (height, width, channels) from 0 to 255."""
        grey = averaged(image.astype(np.float32), _OUTLINE_SIDE).mean(axis=-1)
        bright = grey > 127.5
        flat = [f"M{column} {row + 1}h1" for row, column in np.argwhere(bright[1:] != bright[:-1]).tolist()]
        upright = [f"M{column + 1} {row}v1" for row, column in np.argwhere(bright[:, 1:] != bright[:, :-1]).tolist()]
        return cls("".join([*flat, *upright]), grey.shape[1], grey.shape[0])


def image_tile(image: NDArray[Any]) -> bytes:
    """The PNG of an image, (height, width, channels) pixels."""
    return _png(displayable(averaged(image.astype(np.float32), _IMAGE_SIDE)))


def map_tile(values: NDArray[np.float32], signed: bool) -> bytes:
    """The PNG of a map, (height, width), scaled to its own largest |value|: signed ones diverge about zero."""
    small = averaged(values, _IMAGE_SIDE)
    limit = float(np.abs(small).max()) or 1.0
    share = (small / limit + 1) / 2 if signed else small / limit
    return _png(colormaps[SIGNED if signed else UNSIGNED](share)[..., :3])


def averaged(values: NDArray[np.float32], longest: int) -> NDArray[np.float32]:
    """(height, width, …) with means over as many pixels as keep both sides within `longest`."""
    step = -(-max(values.shape[:2]) // longest)
    for axis in (0, 1):
        starts = np.arange(0, values.shape[axis], step)
        counts = np.diff([*starts, values.shape[axis]]).astype(np.float32)
        shape = [-1 if place == axis else 1 for place in range(values.ndim)]
        values = (np.add.reduceat(values, starts, axis=axis) / counts.reshape(shape)).astype(np.float32)
    return values


def _png(colours: NDArray[Any]) -> bytes:
    """Of colours (height, width, 3) from 0 to 1."""
    buffer = io.BytesIO()
    Image.fromarray(np.rint(255 * colours).astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
