"""The filters: what each looks for, and what they make of an image."""

import keras

from harness.insight.filters import activation_maximization, feature_maps, first_kernels
from harness.insight.layers import convolutions
from harness.report import examples
from harness.report.filter_figures import excitation_picture, feature_maps_picture, kernels_picture
from harness.report.page import Section
from harness.report.subject import Subject


def filters(logits: keras.Model, seed: int) -> Section:
    """The first layer's kernels, and what excites the filters of every convolutional layer."""
    layers = [layer.name for layer in convolutions(logits)]
    pictures = [kernels_picture(layers[0], first_kernels(logits))]
    for layer in layers:
        pictures.append(excitation_picture(layer, activation_maximization(logits, layer, seed=seed)))
    return Section(
        "Filters",
        "What each filter looks for. A filter's number is the number of its row plus that of its column.",
        pictures,
    )


def features(subject: Subject) -> Section:
    """The feature maps of one image of each class."""
    rows = examples.clearest(subject.labels, subject.probabilities)
    maps = feature_maps(subject.logits, subject.images[rows])
    pictures = [
        feature_maps_picture(
            int(subject.labels[row]),
            int(row),
            subject.images[row],
            {layer: values[index] for layer, values in maps.items()},
        )
        for index, row in enumerate(rows)
    ]
    return Section(
        "Feature maps",
        "What the filters make of one image of each class: the one that the model is surest of.",
        pictures,
        folded=True,
    )
