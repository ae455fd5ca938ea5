"""Pictures of an overview: mean maps by class and by confusion, clusters of mistakes, and their nearest neighbours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from harness.data.classes import called
from harness.insight.saliency import METHODS
from harness.page import Section
from harness.page.picture import INK, MUTED, UNSIGNED, Picture, blank, displayable, place, png
from harness.report.class_labels import class_label, widest
from harness.report.evaluated_model import EvaluatedModel
from harness.report.overview import Cluster, Confusion, MistakeNeighbours, Overview

_TILE, _GAP = 0.86, 0.08
_ABOVE, _BELOW, _LINE = 0.3, 0.34, 0.14
"""Inches for the words above and below an image, and for one more line of them, where names of classes take more."""
_POINTS, _SMALL = 8, 7
"""The sizes of their letters."""
_NAME, _AS = 1.1, 0.17
"""Inches for the name of a class in a line with others, and for the word before it in a line of its own."""
_COLUMNS = 10
_EXAMPLES = 6
"""Images of a cluster that are shown."""
_PAIRS = 3
"""Its most frequent mistakes that are named."""


def overview_section(evaluated: EvaluatedModel, overview: Overview) -> Section:
    """The page's section on many images at once."""
    title = METHODS[overview.method].title
    pictures = [_classes_picture(evaluated, overview)]
    if overview.confusions:
        pictures.append(_confusions_picture(evaluated, overview.confusions, title))
    if overview.clusters:
        pictures.append(_clusters_picture(evaluated, overview.clusters, title))
    if overview.neighbours:
        pictures.append(_neighbours_picture(evaluated, overview.neighbours))
    counts, blanks = overview.explained, sum(overview.empty.values())
    flagged = f" {blanks} of these maps {'is' if blanks == 1 else 'are'} zero everywhere and left out of the means."
    intro = (
        f"{title} maps of {counts['correct']} correctly classified test images, spread evenly over the classes, "
        f"and of the {counts['mistakes']} most confident mistakes."
        f"{flagged if blanks else ' No map is zero everywhere.'}"
    )
    return Section(
        "Over many images",
        [intro],
        pictures=pictures,
        folded=True,
    )


def _classes_picture(evaluated: EvaluatedModel, overview: Overview) -> Picture:
    shown = list(overview.classes.items())[: 2 * _COLUMNS]
    title = METHODS[overview.method].title
    columns = min(len(shown), _COLUMNS)
    rows = -(-len(shown) // _COLUMNS)
    tall, names = _TILE * evaluated.images.shape[1] / evaluated.images.shape[2], evaluated.class_names
    above = _ABOVE + _LINE * bool(names)
    figure, axes = blank(0.1 + columns * (_TILE + _GAP), rows * (tall + above + _GAP) + 0.05)
    for number, (label, mean) in enumerate(shown):
        left = 0.1 + number % _COLUMNS * (_TILE + _GAP)
        top = number // _COLUMNS * (tall + above + _GAP) + above
        heading = (
            f"{class_label(label, names, _TILE, _POINTS)}\n({mean.images})"
            if names
            else f"class {label} ({mean.images})"
        )
        axes.text(left, top - 0.05, heading, fontsize=_POINTS, color=INK, va="bottom", parse_math=False)
        _map(axes, mean.map, left, top, tall)
    return Picture(
        "overview-classes",
        "Mean map of each class",
        f"Mean {title} map of the correctly classified images of each class; their number is in brackets. The means "
        "are of absolute values, each map scaled to the same sum. If the means of all classes look alike, a map says "
        "more about the data than about its image.",
        f"Mean maps of the classes {', '.join(called(label, names) for label, _ in shown)}.",
        png(figure),
    )


def _confusions_picture(evaluated: EvaluatedModel, confusions: Sequence[Confusion], title: str) -> Picture:
    tall = _TILE * evaluated.images.shape[1] / evaluated.images.shape[2]
    names = evaluated.class_names
    above, between = _ABOVE + 2 * _LINE * bool(names), "\n" if names else " "
    figure, axes = blank(1.0 + len(confusions) * (_TILE + _GAP), above + 3 * (tall + _GAP) + 0.05)
    for number, pair in enumerate(confusions):
        left, top = 1.0 + number * (_TILE + _GAP), above
        heading = f"{_mistake(pair.true, pair.predicted, names, _POINTS)}{between}({len(pair.rows)})"
        axes.text(left, top - 0.05, heading, fontsize=_POINTS, color=INK, va="bottom", parse_math=False)
        images = evaluated.images[pair.rows].astype(np.float32)
        place(axes, displayable(images.mean(axis=0)), left, top, _TILE, tall)
        _map(axes, pair.for_predicted.map, left, top + tall + _GAP, tall)
        _map(axes, pair.for_true.map, left, top + 2 * (tall + _GAP), tall)
    for row, words in enumerate(["mean image", "map for the\npredicted class", "map for the\ntrue class"]):
        axes.text(
            0.92, above + row * (tall + _GAP) + tall / 2, words, fontsize=_POINTS, color=MUTED, ha="right", va="center"
        )
    return Picture(
        "overview-confusions",
        "Maps of the most frequent mistakes",
        "The most frequent mistakes, as “true class as predicted class”, with their number in brackets: the mean "
        f"image, and the mean {title} map for the predicted class and for the true one.",
        "; ".join(
            f"{len(pair.rows)} images of {called(pair.true, names)} mistaken for {called(pair.predicted, names)}"
            for pair in confusions
        )
        + ".",
        png(figure),
    )


def _clusters_picture(evaluated: EvaluatedModel, clusters: Sequence[Cluster], title: str) -> Picture:
    tall = _TILE * evaluated.images.shape[1] / evaluated.images.shape[2]
    line = max(tall, 0.6) + _GAP
    names = evaluated.class_names
    drawn = [label for cluster in clusters for pair, _ in cluster.pairs[:_PAIRS] for label in pair]
    name = min(widest(drawn, names, _POINTS), _NAME)
    right = max(1.7, 0.9 + 2 * name)
    figure, axes = blank(right + 0.05 + (1 + _EXAMPLES) * (_TILE + _GAP), _ABOVE + len(clusters) * line)
    axes.text(right, _ABOVE - 0.05, "mean map", fontsize=_POINTS, color=INK, va="bottom")
    for number, cluster in enumerate(clusters):
        top = _ABOVE + number * line
        pairs = [
            f"{class_label(true, names, name, _POINTS)} as {class_label(to, names, name, _POINTS)}: {count}"
            for (true, to), count in cluster.pairs[:_PAIRS]
        ]
        words = "\n".join([_counted(cluster), *pairs])
        axes.text(0.1, top + tall / 2, words, fontsize=_POINTS, color=INK, va="center", parse_math=False)
        _map(axes, cluster.mean.map, right, top, tall)
        for column, row in enumerate(cluster.rows[:_EXAMPLES].tolist()):
            place(axes, displayable(evaluated.images[row]), right + (1 + column) * (_TILE + _GAP), top, _TILE, tall)
    return Picture(
        "overview-clusters",
        "Mistakes grouped by their maps",
        f"Mistakes are grouped by which pixels their {title} map for the predicted class highlights (Ward's method, at "
        "most four groups). Each row shows what is confused most often in a group, its mean map and some of its "
        "images.",
        "; ".join(f"{_counted(cluster)}, most often {_words(cluster, names)}" for cluster in clusters) + ".",
        png(figure),
    )


def _counted(cluster: Cluster) -> str:
    return f"{len(cluster.rows)} mistake{'' if len(cluster.rows) == 1 else 's'}"


def _words(cluster: Cluster, names: Sequence[str]) -> str:
    (true, predicted), count = cluster.pairs[0]
    return f"{called(true, names)} as {called(predicted, names)} ({count})"


def _neighbours_picture(evaluated: EvaluatedModel, neighbours: MistakeNeighbours) -> Picture:
    assert evaluated.train is not None
    tall = _TILE * evaluated.images.shape[1] / evaluated.images.shape[2]
    names, labels = evaluated.class_names, evaluated.train.labels
    line = max(tall + _BELOW + (_LINE if names else 0), 0.7)
    figure, axes = blank(
        0.2 + (1 + neighbours.found.rows.shape[1]) * (_TILE + _GAP) + 0.15, len(neighbours.mistakes) * line
    )
    near, between = [], "\n" if names else " "
    for number, (row, rows, similarity) in enumerate(
        zip(neighbours.mistakes.tolist(), neighbours.found.rows.tolist(), neighbours.found.similarity, strict=True)
    ):
        top, label = number * line + 0.05, int(evaluated.labels[row])
        near.append(f"test image {row}: {', '.join(called(int(labels[each]), names) for each in rows)}")
        words = f"{_mistake(label, int(evaluated.predicted[row]), names, _SMALL)}\ntest {row}"
        _captioned(axes, evaluated.images[row], 0.1, top, tall, words)
        for column, (each, cosine) in enumerate(zip(rows, similarity, strict=True)):
            left = 0.25 + (1 + column) * (_TILE + _GAP)
            words = f"{class_label(int(labels[each]), names, _TILE, _SMALL)}{between}({cosine:.2f})\ntraining {each}"
            _captioned(axes, evaluated.train.images[each], left, top, tall, words)
    return Picture(
        "overview-neighbours",
        "Training images most similar to the mistakes",
        "On the left, the most confident mistakes; next to each, the training images nearest to it in the last hidden "
        "layer, with their labels and the cosine similarity in brackets. If all neighbours are of the predicted class, "
        "the model has seen such images with that label; if some are of the true class, the image lies near the "
        "boundary between the two.",
        "Labels of the nearest training images. " + "; ".join(near) + ".",
        png(figure),
    )


def _mistake(true: int, predicted: int, names: Sequence[str], points: float) -> str:
    """As wide as an image: two lines where the classes have names."""
    if not names:
        return f"{true} as {predicted}"
    return f"{class_label(true, names, _TILE, points)}\nas {class_label(predicted, names, _TILE - _AS, points)}"


def _captioned(axes: Axes, image: NDArray[Any], left: float, top: float, tall: float, words: str) -> None:
    place(axes, displayable(image), left, top, _TILE, tall)
    axes.text(left, top + tall + 0.03, words, fontsize=_SMALL, color=MUTED, va="top", parse_math=False)


def _map(axes: Axes, values: NDArray[np.float32], left: float, top: float, tall: float) -> None:
    place(axes, values, left, top, _TILE, tall, UNSIGNED, 0.0, max(float(values.max()), 1e-12))
