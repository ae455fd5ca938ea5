"""Saliency maps beside the images they explain."""

import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
from contourpy import contour_generator
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

from harness.data.classes import called
from harness.insight.saliency import METHODS
from harness.page.picture import INK, MUTED, SIGNED, UNSIGNED, Picture, blank, colour_bar, displayable, place, png
from harness.page.wording import percent
from harness.report.class_labels import class_label, widest
from harness.report.explanation import Explained

_TILE, _GAP = 0.86, 0.05
_LABEL, _MOST_LABEL, _BESIDE = 1.12, 2.2, 0.1
"""Inches of the words on the left of an image: as few and as many as there are, and the gap to the image."""
_PREDICTED, _POINTS = 0.8, 9.5
"""Inches that the word takes before the class, and the size of its letters."""
_TOP, _BOTTOM = 0.5, 0.62
_LINES, _LEAST_COLUMN = 0.84, 0.78
"""Inches that the words beside an image and the headings of the columns need."""
_HEADING_LETTERS, _NAME_LETTERS = 12, 18
_GROUPS = {
    "own": "your own images",
    "named": "the requested test images",
    "correct": "correctly classified test images",
    "mistakes": "misclassified test images",
    "unsure": "the least certain test images",
}
_BAR_STEP = 3.4
"""Inches from colour bar to colour bar."""
_OF_A_METHOD = 20
"""Images in the picture of one method."""


def saliency_pictures(explained: Explained) -> list[Picture]:
    """A picture of each kind of images with their maps by all methods, and one of each method alone."""
    pictures = []
    for kind, of_kind in _GROUPS.items():
        chosen = [index for index, example in enumerate(explained.examples) if example.kind == kind]
        if chosen:
            title = f"Saliency maps of {of_kind}"
            pictures.append(_of_examples(f"saliency-{kind}", title, explained, chosen, list(explained.maps)))
    among_tests = [index for index, example in enumerate(explained.examples) if example.row is not None]
    evenly = among_tests[:: max(1, -(-len(among_tests) // _OF_A_METHOD))]
    for method in explained.maps if evenly else ():
        title = METHODS[method].title
        pictures.append(_of_examples(f"saliency-{method}", f"{title} of test images", explained, evenly, [method]))
    return pictures


def _of_examples(name: str, title: str, explained: Explained, chosen: list[int], methods: list[str]) -> Picture:
    shown = [explained.examples[index] for index in chosen]
    return saliency_picture(
        name,
        title,
        np.stack([example.image for example in shown]),
        [example.name for example in shown],
        [example.label for example in shown],
        np.stack([example.probabilities for example in shown]),
        {method: explained.predicted_maps(method)[chosen] for method in methods},
        explained.class_names,
    )


def saliency_picture(
    name: str,
    title: str,
    images: NDArray[Any],
    names: Sequence[str],
    labels: Sequence[int | None],
    probabilities: NDArray[np.float32],
    maps: dict[str, NDArray[np.float32]],
    class_names: Sequence[str] = (),
) -> Picture:
    """The images, one a row in two blocks of rows, and beside each its map by every method.

    Args:
        name, title: of the picture.
        images: (n, height, width, channels), n of at least 1.
        names: what the images are called, as "test image 17".
        labels: the true classes, None where one isn't known.
        probabilities: (n, classes) what the model says; the maps explain the most probable class.
        maps: method's name -> (n, height, width).
        class_names: by label, where they have names.
    """
    blocks = 2 if len(images) > 4 else 1
    per_block = -(-len(images) // blocks)
    tall, wide = (_TILE * side / max(images.shape[1:3]) for side in images.shape[1:3])
    line, step = max(tall, _LINES) + _GAP, max(wide, _LEAST_COLUMN) + _GAP
    predicted = probabilities.argmax(axis=1).tolist()
    classes = {*predicted, *(label for label in labels if label is not None)}
    beside = min(max(_LABEL, _PREDICTED + widest(classes, class_names, _POINTS, bold=True) + 2 * _BESIDE), _MOST_LABEL)
    room = beside - _PREDICTED - 2 * _BESIDE
    drawn = partial(class_label, names=class_names, inches=room, points=_POINTS, bold=True)
    block_width = beside + (1 + len(maps)) * step + 0.25
    signs = sorted({METHODS[method].signed for method in maps})
    width = max(blocks * block_width, beside + len(signs) * _BAR_STEP)
    height = _TOP + per_block * line + _BOTTOM
    figure, axes = blank(width, height)
    for block in range(blocks):
        for column, heading in enumerate(["Image", *(METHODS[method].title for method in maps)]):
            centre = block * block_width + beside + column * step + wide / 2
            heading = "\n".join(textwrap.wrap(heading, _HEADING_LETTERS))
            axes.text(centre, _TOP - 0.1, heading, ha="center", va="bottom", fontsize=9.5, color=INK)
    outlines: dict[str, list[NDArray[np.float64]]] = {"black": [], "white": []}
    for index, image in enumerate(images):
        outline = _outline(image, wide, tall)
        left, top = index // per_block * block_width + beside, _TOP + index % per_block * line
        _label(axes, left - _BESIDE, top, labels[index], probabilities[index], names[index], drawn)
        place(axes, displayable(image), left, top, wide, tall)
        for method, method_maps in maps.items():
            left += step
            signed = METHODS[method].signed
            limit = max(float(np.abs(method_maps[index]).max()), 1e-12)
            cmap, low = (SIGNED, -limit) if signed else (UNSIGNED, 0.0)
            place(axes, method_maps[index], left, top, wide, tall, cmap, low, limit)
            outlines["black" if signed else "white"] += [line + np.array([left, top]) for line in outline]
    for colour, lines in outlines.items():
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.7, alpha=0.75), autolim=False)
    for place_of_bar, signed in enumerate(signs):
        left = beside + place_of_bar * _BAR_STEP
        label = "for (red) or against (blue) the class" if signed else "share of the map's maximum"
        colour_bar(axes, left, height - 0.5, 2.6, SIGNED if signed else UNSIGNED, -signed, 1, label)
    notes = "; ".join(METHODS[method].note for method in maps)
    true = ["" if label is None else f"true {called(label, class_names)}, " for label in labels]
    shown = "; ".join(
        f"{name}: {of}predicted {called(guess, class_names)}"
        for name, of, guess in zip(names, true, predicted, strict=True)
    )
    return Picture(
        name=name,
        title=title,
        caption="Each map explains the logit of the predicted class; the thin line is the outline of the image. "
        f"{notes[0].upper()}{notes[1:]}. Each map is scaled to its own maximum, so colours compare pixels within a "
        "map, not between maps. If a pooling layer drops what doesn't fill its window, the pixels at the right and "
        "bottom edges reach no logit: maps are zero there.",
        alt=f"{title}, each with {', '.join(METHODS[method].title for method in maps)}. {shown}.",
        png=png(figure),
    )


def _label(
    axes: Axes,
    right: float,
    top: float,
    label: int | None,
    probabilities: NDArray[np.float32],
    name: str,
    drawn: Callable[[int], str],
) -> None:
    guess = int(probabilities.argmax())
    emphasis = {"color": INK} if label in (guess, None) else {"color": "#b3261e", "fontweight": "bold"}
    lines: list[tuple[float, str, dict[str, Any]]] = [
        (0.17, "" if label is None else f"true {drawn(label)}", {"color": INK, "fontsize": _POINTS}),
        (0.35, f"predicted {drawn(guess)}", {"fontsize": _POINTS, **emphasis}),
        (0.53, percent(float(probabilities[guess])), {"color": MUTED, "fontsize": 8}),
        (0.72, textwrap.fill(name, _NAME_LETTERS, max_lines=2, placeholder="…"), {"color": MUTED, "fontsize": 7}),
    ]
    for y, text, style in lines:
        axes.text(right, top + y, text, ha="right", va="center", parse_math=False, **style)


def _outline(image: NDArray[Any], wide: float, tall: float) -> list[NDArray[np.float64]]:
    """Where the image, that large and in the corner, changes from dark to bright: lines of points (x, y)."""
    grey = image.mean(axis=-1)
    if min(grey.shape) < 2:
        return []
    x = wide * (np.arange(grey.shape[1]) + 0.5) / grey.shape[1]
    y = tall * (np.arange(grey.shape[0]) + 0.5) / grey.shape[0]
    return cast("list[NDArray[np.float64]]", contour_generator(x, y, grey).lines(127.5))
