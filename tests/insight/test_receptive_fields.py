"""Each against the pixels that have a gradient, in some of many random images."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from harness.errors import UserError
from harness.insight.receptive_fields import receptive_fields
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
