"""Kernels and feature maps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from harness.data.classes import called
from harness.page.picture import (
    GAP,
    INK,
    MUTED,
    SIGNED,
    UNSIGNED,
    Picture,
    blank,
    colour_bar,
    displayable,
    mosaic,
    place,
    png,
)
from harness.report.class_labels import class_label

_COLUMNS = 16
_WIDTH = 8.6
_LEFT, _RIGHT = 0.55, 0.1
_HEADING = 0.58
_NAME = 6.0
"""Inches for the name of a class beside its image."""


def kernels_picture(layer: str, kernels: NDArray[np.float32]) -> Picture:
    """The first kernels, (filters, height, width, channels), signed: in colour where they have three channels."""
    in_colour = kernels.shape[-1] == 3
    values = kernels if in_colour else kernels.mean(axis=-1)
    limit = max(float(np.abs(values).max()), 1e-12)
    canvas = mosaic(0.5 + values / (2 * limit), _COLUMNS, GAP) if in_colour else mosaic(values, _COLUMNS)
    figure, axes = blank(_WIDTH, _height_of(canvas) + (0.4 if in_colour else 0.95))
    if in_colour:
        _numbered(axes, canvas, len(values), 0.3)
        reading = (
            f"Each pixel's red, green and blue are the weights of these channels, from -{limit:.2g} to {limit:.2g}; "
            "grey is zero. A grey kernel with light next to dark detects edges; a coloured one detects a colour or an "
            "edge between two colours."
        )
        meaning = "in the colours of their three channels, grey for zero"
    else:
        bottom = _numbered(axes, canvas, len(values), 0.3, cmap=SIGNED, vmin=-limit, vmax=limit)
        colour_bar(axes, _LEFT, bottom + 0.12, 2.6, SIGNED, -limit, limit, "weight (same scale for all filters)")
        reading = (
            "Bright pixels raise the output where the weight is red, lower it where it is blue, and make no difference "
            "where it is white. Red next to blue detects edges; a single colour detects bright or dark areas."
        )
        meaning = "red for positive and blue for negative"
    size = f"{values.shape[1]}×{values.shape[2]}"
    return Picture(
        name="filters-kernels",
        title=f"Kernels of {layer}",
        caption=f"The {len(values)} kernels of the first layer, {size} weights each. A filter's number is its row "
        f"label plus its column label. {reading}",
        alt=f"{len(values)} kernels of {size} weights from layer {layer}, {meaning}, up to ±{limit:.2g}.",
        png=png(figure),
    )


def feature_maps_picture(
    label: int,
    row: int,
    image: NDArray[np.uint8],
    maps: Mapping[str, NDArray[np.float32]],
    numbers: Mapping[str, range],
    names: Sequence[str] = (),
) -> Picture:
    """A test image and the feature maps of convolutional layers.

    Args:
        maps: by layer, (filters, height, width).
        numbers: by layer, those of these filters.
        names: of all classes, by label, where they have names.
    """
    canvases = {layer: mosaic(values, _COLUMNS) for layer, values in maps.items()}
    top = 1.15
    height = top + sum(_height_of(canvas) + _HEADING + 0.3 for canvas in canvases.values())
    figure, axes = blank(_WIDTH, height)
    place(axes, displayable(image), _LEFT, 0.1, 0.9, 0.9)
    words = f"class {class_label(label, names, _NAME, 13)}"
    axes.text(_LEFT + 1.05, 0.45, words, fontsize=13, color=INK, va="center", parse_math=False)
    axes.text(_LEFT + 1.05, 0.7, f"test image {row}", fontsize=8.5, color=MUTED, va="center")
    for layer, canvas in canvases.items():
        values = maps[layer]
        low = min(float(values.min()), 0.0)
        high = max(float(values.max()), low + 1e-12)
        heading = f"{layer}: {len(values)} maps of {values.shape[1]}×{values.shape[2]}"
        axes.text(_LEFT, top + 0.08, heading, fontsize=10, color=INK, va="center")
        bottom = _numbered(
            axes, canvas, len(values), top + _HEADING, numbers[layer].step, cmap=UNSIGNED, vmin=low, vmax=high
        )
        bar = _WIDTH - _RIGHT - 2.0
        colour_bar(axes, bar, top + 0.02, 2.0, UNSIGNED, low, high, "")
        top = bottom + 0.3
    return Picture(
        name=f"features-{label}",
        title=f"Feature maps of an image of class {called(label, names)}",
        caption=f"Test image {row}, of class {called(label, names)}.",
        alt=f"Test image {row}, of class {called(label, names)}, and its feature maps: "
        + ", ".join(f"{layer} has {len(values)}" for layer, values in maps.items())
        + ".",
        png=png(figure),
    )


def _height_of(canvas: NDArray[np.float32]) -> float:
    height: float = (_WIDTH - _LEFT - _RIGHT) * canvas.shape[0] / canvas.shape[1]
    return height


def _numbered(axes: Axes, canvas: NDArray[np.float32], count: int, top: float, step: int = 1, **colours: Any) -> float:
    """Draw a mosaic of every `step`th filter, whose number is the row's plus the column's; returns where it ends."""
    width, height = _WIDTH - _LEFT - _RIGHT, _height_of(canvas)
    place(axes, canvas, _LEFT, top, width, height, **colours)
    rows = -(-count // _COLUMNS)
    for column in range(_COLUMNS):
        x = _LEFT + width * (column + 0.5) / _COLUMNS
        axes.text(x, top - 0.03, f"+{column * step}", fontsize=7.5, color=MUTED, ha="center", va="bottom")
    for row in range(rows):
        y = top + height * (row + 0.5) / rows
        axes.text(_LEFT - 0.08, y, str(row * _COLUMNS * step), fontsize=7.5, color=MUTED, ha="right", va="center")
    return top + height
