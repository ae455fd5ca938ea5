"""One picture of the report, and the drawing that all of them share. Every PNG depends on its data alone."""

import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from harness.page.table import Table

UNSIGNED = "magma"
"""Perceptually uniform, for what is never negative."""
SIGNED = "RdBu_r"
"""Diverging, for what has a sign; always drawn with limits symmetric about zero."""
INK, MUTED = "#1a1a1a", "#666666"
GAP = (0.55, 0.66, 0.78)
"""Between pictures that are black, white and grey themselves."""
_DPI = 96
_BAR = 0.12
"""Inches: how thick a colour bar is."""


@dataclass(frozen=True)
class Picture:
    """A PNG with the words that go with it."""

    name: str
    """`kind-detail`: the file is `kind-detail.png`, the TensorBoard tag `kind/detail`."""
    title: str
    caption: str
    alt: str
    png: bytes
    table: Table | None = None
    """The numbers that are drawn."""
    chart: bool = False
    """Whether it is lines and letters on white alone, whose colours a dark page may turn round."""
    narrow: bytes | None = None
    """The same for the page on a telephone, where it would be too wide."""
    svg: bytes = b""
    """The same, which the page shows in place of the PNG; empty where there is none."""
    titled: bool = False
    """Whether its title is drawn in it, so that it needs no heading."""


def with_own_names(pictures: Iterable[Picture]) -> list[Picture]:
    """The pictures; one whose name is taken, as that of a layer called "kernels", gets a number after it."""
    named: dict[str, Picture] = {}
    for picture in pictures:
        name, number = picture.name, 1
        while name in named:
            number += 1
            name = f"{picture.name}-{number}"
        named[name] = replace(picture, name=name)
    return list(named.values())


def blank(width: float, height: float) -> tuple[Figure, Axes]:
    """A white figure of that many inches, and axes all over it: x inches from the left, y from the top."""
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def place(
    axes: Axes,
    image: NDArray[Any],
    x: float,
    y: float,
    width: float,
    height: float,
    cmap: str | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
) -> None:
    """Draw an image, RGB from 0 to 1 or 255, or (height, width) in the colours of `cmap`, into axes made by `blank`;
    pixels keep sharp edges, NaN is drawn as nothing."""
    colours = ScalarMappable(Normalize(vmin, vmax), cmap).to_rgba(image, bytes=True)
    axes.add_artist(_Tile(colours, Bbox.from_bounds(x, y, width, height)))


class _Tile(Artist):
    """What AxesImage would draw, to the pixel, without what it prepares for: there are some thousand on a page."""

    def __init__(self, colours: NDArray[np.uint8], inches: Bbox) -> None:
        super().__init__()
        self._colours = colours
        self._inches = inches

    def draw(self, renderer: RendererBase) -> None:
        assert self.axes is not None
        place = self._inches.transformed(self.axes.transData)  # y now counts from below, and y1 is the lower edge
        left, columns = _nearest(place.x0, place.x1, self._colours.shape[1])
        below, rows = _nearest(place.y1, place.y0, self._colours.shape[0])
        renderer.draw_image(renderer.new_gc(), left, below, self._colours[len(self._colours) - 1 - rows][:, columns])


def _nearest(low: float, high: float, count: int) -> tuple[int, NDArray[np.intp]]:
    """The first pixel between two edges, and for each the one of `count` equal parts in which its centre lies."""
    first, after = round(low), round(high)
    parts = (np.arange(first, after) + 0.5 - low) / (high - low) * count
    return first, np.clip(np.ceil(parts) - 1, 0, count - 1).astype(np.intp)


def colour_bar(axes: Axes, x: float, y: float, length: float, cmap: str, low: float, high: float, label: str) -> None:
    """A horizontal colour bar of that many inches in axes made by `blank`, its values and its label under it.

    Drawn here: axes and a colour bar of Matplotlib's take longer than all else in a picture, and a page has forty.
    """
    place(axes, np.linspace(low, high, 256)[np.newaxis], x, y, length, _BAR, cmap, low, high)
    axes.add_patch(Rectangle((x, y), length, _BAR, facecolor="none", edgecolor=INK, linewidth=0.6))
    ticks = [value for value in MaxNLocator(4).tick_values(low, high) if low <= value <= high]
    places = [x + length * (value - low) / (high - low) for value in ticks]
    axes.vlines(places, y + _BAR, y + _BAR + 0.03, color=INK, linewidth=0.6)
    for at, value in zip(places, ticks, strict=True):
        axes.text(at, y + _BAR + 0.05, f"{value:.3g}", fontsize=8, color=INK, ha="center", va="top")
    axes.text(x + length / 2, y + _BAR + 0.2, label, fontsize=9, color=INK, ha="center", va="top")


def mosaic(tiles: NDArray[Any], columns: int, gap_colour: float | tuple[float, ...] = np.nan) -> NDArray[np.float32]:
    """Tiles (n, height, width[, 3]) side by side, with gaps between; NaN is drawn as nothing."""
    count, height, width = tiles.shape[:3]
    rows = -(-count // columns)
    magnified = max(1, round(24 / height))
    tiles = tiles.astype(np.float32).repeat(magnified, axis=1).repeat(magnified, axis=2)
    gap = max(1, tiles.shape[1] // 12)
    height, width = tiles.shape[1] + gap, tiles.shape[2] + gap
    canvas = np.full((rows * height + gap, columns * width + gap, *tiles.shape[3:]), gap_colour, np.float32)
    for index, tile in enumerate(tiles):
        top, left = gap + index // columns * height, gap + index % columns * width
        canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return canvas


def displayable(image: NDArray[Any]) -> NDArray[np.float32]:
    """Pixels (..., channels) from 0 to 255 → (..., 3) from 0 to 1.

    The first three channels are red, green and blue where there are so many; else the mean is grey.
    """
    scaled = image.astype(np.float32) / np.float32(255)
    if scaled.shape[-1] >= 3:
        return scaled[..., :3]
    return np.repeat(scaled.mean(axis=-1, keepdims=True, dtype=np.float32), 3, axis=-1)


def png(figure: Figure) -> bytes:
    """The figure's PNG; no time and no program version is written into it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
