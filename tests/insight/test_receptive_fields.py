"""Each against the pixels that have a gradient, in some of many random images."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from harness.errors import UserError
from harness.insight.receptive_fields import centres, reaching, receptive_fields
from harness.models.logits import pixels_to_logits

Tensor = Any


def seen_by_gradient(model: keras.Model, layer: str, row: int, column: int) -> tuple[slice, slice]:
    part = keras.Model(model.inputs, model.get_layer(layer).output)
    images = tf.random.stateless_uniform((64, *model.input_shape[1:]), seed=(0, 0), maxval=255.0)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        units = part([images])[:, row, column]
    seen = np.any(tape.gradient(units, images).numpy() != 0, axis=(0, 3))
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def residual(x: Tensor) -> Tensor:
    x = layers.ZeroPadding2D(((1, 2), (3, 0)))(x)
    y = layers.Conv2D(3, 1, strides=2)(x)
    x = layers.Conv2D(3, 3, strides=2, padding="same")(x)
    return layers.Activation("elu")(layers.BatchNormalization()(layers.Add()([x, y]) + y))


def windows(x: Tensor) -> Tensor:
    x = layers.Cropping2D(((1, 0), (0, 2)))(layers.Conv2D(3, (3, 1), dilation_rate=2)(x))
    x = layers.AveragePooling2D((3, 2), strides=(2, 1), padding="same")(x)
    return layers.DepthwiseConv2D(3, padding="same")(layers.SeparableConv2D(4, (2, 3))(x))


def pooled(x: Tensor) -> Tensor:
    return layers.MaxPooling2D(3, strides=2, padding="same")(layers.Conv2D(8, 5, padding="same")(x))


def branches(x: Tensor) -> Tensor:
    x = layers.Concatenate()([layers.Conv2D(2, (1, 3), padding="same")(x), x])
    return layers.Concatenate(axis=3)([layers.Conv2D(2, (5, 1), padding="same")(x), x])


@pytest.mark.parametrize("body", [residual, windows, pooled, branches])
def test_every_unit_sees_what_has_a_gradient(body: Callable[[Tensor], Tensor]) -> None:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((21, 18, 2))
    model = keras.Model(pixels, layers.Conv2D(6, 3, padding="same", name="conv")(body(pixels)))
    fields = receptive_fields(model, "conv")
    height, width = model.output_shape[1:3]
    assert (len(fields.rows), len(fields.columns)) == (height, width)
    for row, column in [(0, 0), (0, width - 1), (1, 2), (height // 2, width // 2), (height - 1, width - 1)]:
        assert fields.of(row, column) == seen_by_gradient(model, "conv", row, column)


@pytest.mark.parametrize(
    ("layer", "first", "size"),
    # The middle of 26×26 is unit 13; of 11×11, unit 5, of 3×3, unit 1: each pooling doubles the step.
    [("conv_1", 13, 3), ("conv_2", 2 * 5, 8), ("conv_3", 4 * 1, 18)],
)
def test_the_middle_unit(cnn: keras.Model, layer: str, first: int, size: int) -> None:
    assert receptive_fields(cnn, layer).middle() == (slice(first, first + size), slice(first, first + size))


def test_fields_are_cut_off_at_the_border() -> None:
    model = keras.Sequential([keras.Input((6, 5, 1)), layers.Conv2D(2, 3, padding="same", name="conv")])
    fields = receptive_fields(model, "conv")
    assert fields.of(0, 4) == (slice(0, 2), slice(3, 5))
    assert fields.of(5, 2) == (slice(4, 6), slice(1, 4))


@pytest.mark.parametrize(
    "body",
    [
        lambda x: layers.Multiply()([x, layers.GlobalAveragePooling2D(keepdims=True)(x)]),
        lambda x: layers.Reshape((6, 5, 3))(layers.Dense(90)(layers.Flatten()(x))),
        layers.LayerNormalization(axis=(1, 2)),
        lambda x: layers.Concatenate(axis=1)([x, x]),
    ],
)
def test_through_a_layer_without_a_window_the_whole_image_is_seen(body: Callable[[Tensor], Tensor]) -> None:
    pixels = keras.Input((6, 5, 3))
    model = keras.Model(pixels, layers.Conv2D(2, 3, name="conv")(body(pixels)))
    assert receptive_fields(model, "conv").of(1, 2) == (slice(0, 6), slice(0, 5))


def test_through_a_layer_that_is_called_twice_the_whole_image_is_seen() -> None:
    pixels = keras.Input((6, 5, 3))
    shared = layers.Conv2D(3, 3, padding="same")
    for twice in (shared(shared(pixels)), shared(pixels) + shared(shared(pixels))):
        model = keras.Model(pixels, layers.Conv2D(2, 3, name="conv")(twice))
        assert receptive_fields(model, "conv").of(1, 2) == (slice(0, 6), slice(0, 5))


def test_the_copy_of_a_model_with_models_and_operations_in_it() -> None:
    image = keras.Input((None, None, 1))
    base = keras.Model(image, layers.Conv2D(2, 3)(keras.ops.relu(image) + image))
    model = keras.Sequential([keras.Input((9, 9, 1)), base, layers.Conv2D(2, 3, name="conv"), layers.Flatten()])
    copy = pixels_to_logits(keras.Sequential([model, layers.Dense(2)]), (9, 9, 1))
    assert receptive_fields(copy, "conv").of(1, 2) == (slice(1, 6), slice(2, 7))


def test_a_model_for_images_of_any_size_is_refused() -> None:
    pixels = keras.Input((None, None, 3))
    model = keras.Model(pixels, layers.Conv2D(2, 3, name="conv")(pixels))
    with pytest.raises(UserError, match="images of any size"):
        receptive_fields(model, "conv")


@pytest.mark.parametrize(
    ("layer", "rows"),
    [
        ("conv_1", [i + 1 for i in range(26)]),
        ("conv_2", [2 * i + 3.5 for i in range(11)]),
        ("conv_3", [8.5, 12.5, 16.5]),
    ],
)
def test_units_lie_where_the_middles_of_their_fields_are(cnn: keras.Model, layer: str, rows: list[float]) -> None:
    found = centres(cnn, layer)
    assert found is not None
    assert found[0].tolist() == found[1].tolist() == rows


def padded(x: Tensor) -> Tensor:
    """Unit i of the rows sees -1 + 2i to 1 + 2i, of the columns -1 + i to 1 + i."""
    return layers.Conv2D(2, 3, strides=(2, 1), name="conv")(layers.ZeroPadding2D(1)(x))


def squeezed(x: Tensor) -> Tensor:
    gate = layers.Conv2D(3, 1, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return padded(layers.Multiply()([layers.RandomFlip()(x), gate]))


def pooled_gate(x: Tensor) -> Tensor:
    return padded(x * layers.AveragePooling2D((7, 4))(x))


@pytest.mark.parametrize("body", [padded, squeezed, pooled_gate])
def test_padding_counts_for_where_units_lie_and_what_is_spread_over_all_does_not(
    body: Callable[[Tensor], Tensor],
) -> None:
    pixels = keras.Input((7, 4, 3))
    found = centres(keras.Model(pixels, body(pixels)), "conv")
    assert found is not None
    assert found[0].tolist() == [0, 2, 4, 6]
    assert found[1].tolist() == [0, 1, 2, 3]


def test_where_units_lie_is_not_known_behind_a_layer_without_a_window_or_one_that_is_called_twice() -> None:
    pixels, shared = keras.Input((6, 5, 3)), layers.Conv2D(3, 3, padding="same")
    for body in (layers.Reshape((6, 5, 3))(pixels), shared(shared(pixels))):
        assert centres(keras.Model(pixels, layers.Conv2D(2, 3, name="conv")(body)), "conv") is None


def strided(x: Tensor) -> Tensor:
    return layers.Conv2D(2, 1, strides=2)(x)


def branched(x: Tensor) -> Tensor:
    return layers.Conv2D(2, 1, strides=(3, 1))(x) + layers.Conv2D(2, (2, 1), strides=(3, 1))(x)


def cropped(x: Tensor) -> Tensor:
    return layers.MaxPooling2D(3)(layers.Cropping2D(((1, 0), (0, 2)))(x))


@pytest.mark.parametrize(
    "above", [strided, branched, cropped, layers.ReLU(), layers.GlobalAveragePooling2D(keepdims=True)]
)
def test_units_reach_the_output_where_it_has_a_gradient(above: Callable[[Tensor], Tensor]) -> None:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((9, 8, 1))
    maps = layers.Conv2D(3, 1, name="conv")(pixels)
    model = keras.Model(pixels, [maps, layers.Dense(4)(layers.Flatten()(above(maps)))])
    images = tf.random.stateless_uniform((64, 9, 8, 1), seed=(0, 0))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        found, outputs = model(images)
    matters = np.any(tape.gradient(outputs, found).numpy() != 0, axis=(0, 3))
    rows, columns = reaching(keras.Model(pixels, model.outputs[1]), "conv")
    np.testing.assert_array_equal(np.outer(rows, columns), matters)
