"""Where the cells of a class activation map lie in the image."""

from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.layers import cam_layer, image_shape
from harness.insight.receptive_fields import centres, reaching, receptive_fields

_FEW = 7
"""Cells along a side: a map of fewer tells little, as a constant or another image's map does nearly as well."""


class Cells(NamedTuple):
    """Along one axis."""

    centres: NDArray[np.float64]
    """(cells,) in pixels, where 0 is the middle of the first one; beyond the border they lie in its padding."""
    fields: NDArray[np.int64]
    """(cells, 2) the first pixel that each sees, and the one after the last."""
    reaching: NDArray[np.bool_]
    """(cells,) whether the output can depend on them."""

    def weights(self, pixels: int) -> NDArray[np.float32]:
        """(pixels, cells) each pixel's value as a weighted sum of the cells'.

        Linear between the centres of the cells that reach the output, held beyond the outermost two, and zero where no
        such cell sees the pixel.
        """
        used = np.flatnonzero(self.reaching)
        places = np.arange(pixels)
        weights = np.zeros((pixels, len(self.centres)), np.float32)
        for one, cell in zip(np.eye(len(used)), used, strict=True):
            weights[:, cell] = np.interp(places, self.centres[used], one)
        first, after = self.fields[used].T
        seen = ((first <= places[:, np.newaxis]) & (places[:, np.newaxis] < after)).any(axis=1)
        weights[~seen] = 0
        return weights


@dataclass(frozen=True)
class CamGrid:
    """The cells of a layer's feature maps."""

    layer: str
    rows: Cells
    columns: Cells
    image: tuple[int, int]
    """Its height and width."""
    by_fields: bool
    """Whether the cells lie where their receptive fields do. These aren't known after a layer whose window isn't, and
    there each cell has an equal part of the image."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return len(self.rows.centres), len(self.columns.centres)

    @property
    def reaching(self) -> NDArray[np.bool_]:
        """(rows, columns) the cells that the output can depend on: of the others a CAM is zero."""
        return np.outer(self.rows.reaching, self.columns.reaching)

    @property
    def is_coarse(self) -> bool:
        """Whether fewer than 7×7 cells reach the output, of which a map tells little."""
        return min(int(self.rows.reaching.sum()), int(self.columns.reaching.sum())) < _FEW

    def reached(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of values (n, rows, columns) those in the cells that the output can depend on, (n, fewer, fewer)."""
        return cells[:, self.rows.reaching][:, :, self.columns.reaching]

    def weights(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(height, rows) and (width, columns): on the pixels a map is `down @ cells @ across.T`."""
        return self.rows.weights(self.image[0]), self.columns.weights(self.image[1])

    def on_pixels(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps (n, height, width) from their values in the cells, (n, rows, columns)."""
        down, across = self.weights()
        return (down @ cells @ across.T).astype(np.float32)


_GRIDS: WeakKeyDictionary[keras.Model, dict[str, CamGrid]] = WeakKeyDictionary()
"""A deep model's takes half a second, and the checks explain one model hundreds of times."""


def cam_grid(logits: keras.Model, layer: str | None = None) -> CamGrid:
    """The cells that the CAM methods give a value each, at a layer as `layers.cam_layer` takes it.

    Raises:
        UserError: there is no such layer, or the model takes images of any size.
    """
    name = cam_layer(logits, layer).name
    grids = _GRIDS.setdefault(logits, {})
    if name not in grids:
        grids[name] = _grid(logits, name)
    return grids[name]


def _grid(logits: keras.Model, name: str) -> CamGrid:
    image = image_shape(logits)[:2]
    fields, reach, middles = receptive_fields(logits, name), reaching(logits, name), centres(logits, name)
    parts = _equal_parts(len(fields.rows), image[0]), _equal_parts(len(fields.columns), image[1])
    rows, columns = parts if middles is None else middles
    return CamGrid(
        name,
        Cells(rows, fields.rows, reach[0]),
        Cells(columns, fields.columns, reach[1]),
        image,
        by_fields=middles is not None,
    )


def _equal_parts(cells: int, side: int) -> NDArray[np.float64]:
    """The middles of as many equal parts of a side, in pixels."""
    middles: NDArray[np.float64] = (np.arange(cells) + 0.5) * side / cells - 0.5
    return middles
