"""What excites the filters of a layer: the patch found for each beside the best real one, and the best test images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from harness.data.classes import called
from harness.page.picture import GAP, INK, MUTED, Picture, blank, displayable, place, png
from harness.page.table import Row, Table
from harness.report.class_labels import class_label, widest
from harness.report.filter_study import LayerStudy, starts_in_words

_AT_ONCE = 64
"""Filters in one picture."""
_BAD = "#b3261e"
_FRAME = "#b8b8b8"
"""So that a white patch ends somewhere on white paper."""
_MARK = (255, 140, 0)
_BAR = "#7f9fc4"

_PAIRS = 8
"""Pairs of patches in a row."""
_PATCH, _BETWEEN = 0.5, 0.12
_ROW = 0.92

_IMAGE = 0.46
"""An image's longer side."""
_SHARPNESS = 96
"""Pixels an inch, as many as the figure's: each image is scaled to just what is drawn of it."""
_BLOCKS = 2
_NUMBER, _BAR_LENGTH = 0.5, 0.5
_LABEL, _MOST_LABEL, _POINTS = 0.22, 1.1, 6.5
"""Inches for the class of a bar, as few and as many as there are, and the size of its letters."""
_TOP_CLASSES = 3


def patches_pictures(layer: LayerStudy, images: NDArray[Any], names: Sequence[str] = ()) -> list[Picture]:
    """For each filter the patch found and the best real one, each with what the filter says of it; `names` are those of
    the classes by label, where they have names."""
    return [_patches(layer, images, names, filters) for filters in _parts(layer)]


def examples_pictures(layer: LayerStudy, images: NDArray[Any], names: Sequence[str] = ()) -> list[Picture]:
    """For each filter the test images that excite it most, with the part that it sees, and their classes."""
    return [_examples(layer, images, names, filters) for filters in _parts(layer)]


def _parts(layer: LayerStudy) -> list[range]:
    return [layer.shown[first : first + _AT_ONCE] for first in range(0, len(layer.shown), _AT_ONCE)]


def _patches(layer: LayerStudy, images: NDArray[Any], names: Sequence[str], filters: range) -> Picture:
    rows = -(-len(filters) // _PAIRS)
    step = 2 * _PATCH + 0.03 + _BETWEEN
    height, width = layer.optimal.patches.shape[1:3]
    tall = _PATCH * height / width
    below = _ROW - 0.5 + tall
    figure, axes = blank(_PAIRS * step + 0.1, rows * below + 0.1)
    frames = []
    for index, number in enumerate(filters):
        left, top = 0.1 + index % _PAIRS * step, index // _PAIRS * below + 0.22
        _heading(axes, layer, number, left, top - 0.03)
        found = displayable(layer.optimal.patches[layer.shown.index(number)])
        scores = layer.optimal.scores[layer.shown.index(number)], layer.strongest.activations[number, 0]
        for patch, score, colour in zip((found, _best_real(layer, images, number)), scores, (INK, MUTED), strict=True):
            place(axes, patch, left, top, _PATCH, tall)
            frames.append(Rectangle((left, top), _PATCH, tall))
            axes.text(
                left + _PATCH / 2, top + tall + 0.02, f"{score:.3g}", fontsize=7, color=colour, ha="center", va="top"
            )
            left += _PATCH + 0.03
    axes.add_collection(PatchCollection(frames, facecolor="none", edgecolor=_FRAME, linewidth=0.6, zorder=3))
    size = f"{height}×{width}"
    return Picture(
        name=f"filters-{layer.name}{_suffix(layer, filters)}",
        title=f"What activates the filters of {layer.name}{_which(layer, filters)}",
        caption=f"Left of each pair: a patch of {size} pixels made by gradient ascent to raise the filter's "
        "activation, the best of several runs. A better one may exist, above all where the runs in the table below end "
        "far apart. Right: the test-image patch that activates the filter most, cropped at the border of its image. "
        "Below each: the filter's output before the nonlinearity. The filter responds to brightness where the patch is "
        "white, and to darkness where it is black. If the right number is higher, the ascent missed the best patch. A "
        "patch far above every real one shows what the filter would respond to, not what it sees in practice.",
        alt=f"{len(filters)} pairs of patches of {size} pixels, filters {filters[0]} to {filters[-1]} of layer "
        f"{layer.name}: the patch found and the best of a test image, with their activations.",
        png=png(figure),
        table=_table(layer, names, filters),
    )


def _examples(layer: LayerStudy, images: NDArray[Any], names: Sequence[str], filters: range) -> Picture:
    best = layer.strongest.rows.shape[1]
    height, width = images.shape[1:3]
    longer = max(height, width)
    tall, wide = (round(_IMAGE * side / longer * _SHARPNESS) / _SHARPNESS for side in (height, width))
    step = tall + 0.06
    drawn = [label for number in filters for label in list(layer.classes[number])[:_TOP_CLASSES]]
    beside = min(max(_LABEL, widest(drawn, names, _POINTS) + 0.1), _MOST_LABEL)
    block = _NUMBER + best * (wide + 0.02) + 0.08 + beside + _BAR_LENGTH + 0.25
    rows = -(-len(filters) // _BLOCKS)
    figure, axes = blank(_BLOCKS * block, rows * step + 0.1)
    bars = []
    for index, number in enumerate(filters):
        left, top = index // rows * block, 0.05 + index % rows * step
        _heading(axes, layer, number, left + 0.1, top + tall / 2, beside=True)
        for place_of, row in enumerate(layer.strongest.rows[number]):
            marked = _marked(images[row], layer.strongest.fields[number, place_of], tall, wide)
            place(axes, marked, left + _NUMBER + place_of * (wide + 0.02), top, wide, tall)
        bar = left + _NUMBER + best * (wide + 0.02) + 0.08 + beside
        for line, (label, count) in enumerate(list(layer.classes[number].items())[:_TOP_CLASSES]):
            y = top + (line + 0.5) * tall / _TOP_CLASSES
            words = class_label(label, names, beside - 0.08, _POINTS)
            axes.text(bar - 0.04, y, words, fontsize=_POINTS, color=INK, ha="right", va="center", parse_math=False)
            length = _BAR_LENGTH * count / best
            axes.text(bar + length + 0.03, y, str(count), fontsize=6, color=MUTED, ha="left", va="center")
            bars.append(Rectangle((bar, y - 0.045), length, 0.09))
    axes.add_collection(PatchCollection(bars, facecolor=_BAR, edgecolor="none"))
    return Picture(
        name=f"filters-{layer.name}-examples{_suffix(layer, filters)}",
        title=f"Images that activate the filters of {layer.name}{_which(layer, filters)}",
        caption=f"Each row shows the {best} test images that activate one filter most, strongest first. The frame "
        "marks what the most active unit sees of the image. The bars show the most frequent classes of these images: a "
        "filter whose images are all of one class detects that class or a part of it.",
        alt=f"{best} test images for each of the filters {filters[0]} to {filters[-1]} of layer {layer.name}, with the "
        "receptive field framed. Their most frequent classes: "
        + ", ".join(f"{number}: {_words(layer.classes[number], names, 1)}" for number in filters)
        + ".",
        png=png(figure),
    )


def _marked(image: NDArray[Any], field: NDArray[np.intp], tall: float, wide: float) -> NDArray[np.uint8]:
    """The image as it is drawn, that large, with a frame around the field."""
    height, width = (round(side * _SHARPNESS) for side in (tall, wide))
    small = Image.fromarray((255 * displayable(image)).astype(np.uint8)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    drawn = np.array(small)
    scale = np.array([height / image.shape[0]] * 2 + [width / image.shape[1]] * 2)
    top, bottom, left, right = np.round(field * scale).astype(int)
    for rows, columns in (
        (slice(top, top + 1), slice(left, right)),
        (slice(bottom - 1, bottom), slice(left, right)),
        (slice(top, bottom), slice(left, left + 1)),
        (slice(top, bottom), slice(right - 1, right)),
    ):
        drawn[rows, columns] = _MARK
    return drawn


def _best_real(layer: LayerStudy, images: NDArray[Any], number: int) -> NDArray[np.float32]:
    """The patch of the best test image, (height, width, 3) like the one found; what lies outside is blank."""
    top, bottom, left, right = layer.strongest.fields[number, 0].tolist()
    seen = displayable(images[layer.strongest.rows[number, 0]][top:bottom, left:right])
    height, width = layer.optimal.patches.shape[1:3]
    patch = np.full((height, width, 3), GAP, np.float32)
    seen = seen[:height, :width]
    above, before = (height - len(seen) if top == 0 else 0), (width - seen.shape[1] if left == 0 else 0)
    patch[above : above + len(seen), before : before + seen.shape[1]] = seen
    return patch


def _heading(axes: Axes, layer: LayerStudy, number: int, x: float, y: float, beside: bool = False) -> None:
    note = ", ".join([*_remarks(layer, number), *(f"= {other}" for other in layer.like(number))])
    between = "\n" if beside else "  "
    colour = _BAD if note else INK
    axes.text(
        x, y, f"{number}{between}{note}".rstrip(), fontsize=7.5, color=colour, va="center" if beside else "bottom"
    )


def _table(layer: LayerStudy, names: Sequence[str], filters: range) -> Table:
    headings = [
        "filter",
        "patch found",
        "runs: lowest, median, best",
        "best test image",
        "its row",
        "active in",
        "classes of the best images",
        "remarks",
    ]
    return Table(
        f"The filters of {layer.name}{_which(layer, filters)} as numbers",
        headings,
        [_row(layer, names, number) for number in filters],
    )


def _row(layer: LayerStudy, names: Sequence[str], number: int) -> Row:
    place = layer.shown.index(number)
    remarks = _remarks(layer, number)
    remarks += [f"like {other} ({similarity:.2f})" for other, similarity in layer.like(number).items()]
    return Row(
        [
            str(number),
            f"{layer.optimal.scores[place]:.4g}",
            starts_in_words(layer.optimal.of_starts[place]),
            f"{layer.strongest.activations[number, 0]:.4g}",
            str(layer.strongest.rows[number, 0]),
            f"{layer.strongest.fires[number]:.2%}",
            _words(layer.classes[number], names),
            ", ".join(remarks),
        ]
    )


def _remarks(layer: LayerStudy, number: int) -> list[str]:
    return ["dead"] * (number in layer.dead) + ["rare"] * (number in layer.rare)


def _words(classes: dict[int, int], names: Sequence[str], most: int | None = None) -> str:
    return ", ".join(f"{count} of {called(label, names)}" for label, count in list(classes.items())[:most])


def _suffix(layer: LayerStudy, filters: range) -> str:
    return "" if len(filters) == len(layer.shown) else f"-{filters[0]}"


def _which(layer: LayerStudy, filters: range) -> str:
    return "" if len(filters) == len(layer.shown) else f", {filters[0]} to {filters[-1]}"
