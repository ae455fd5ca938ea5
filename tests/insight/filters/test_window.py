from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers

from harness.insight.filters.window import of_window
from harness.insight.inference import infer
from harness.insight.layers import before_activation
from harness.insight.receptive_fields import receptive_fields, unit_of_all


def plain() -> keras.Model:
    pixels = keras.Input((28, 30, 1))
    x = layers.Conv2D(4, 3, activation="relu", name="first")(layers.Rescaling(1 / 255)(pixels))
    x = layers.Conv2D(5, 3, activation="relu", name="second")(layers.MaxPooling2D()(x))
    return keras.Model(pixels, layers.Dense(3)(layers.Flatten()(x)))


def padded() -> keras.Model:
    """Padding, strides, dilation, batch normalization and an addition on the way."""
    pixels = keras.Input((40, 40, 3))
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="first")(pixels)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(4, 3, padding="same", dilation_rate=2, activation="elu", name="dilated")(x)
    x = layers.Add()([x, y])
    x = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu", name="strided")(x)
    return keras.Model(pixels, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def part_of(model: keras.Model, name: str) -> keras.Model | None:
    layer = model.get_layer(name)
    return of_window(model, before_activation(model, layer), layer, receptive_fields(model, name).middle())


@pytest.mark.parametrize(
    ("build", "layer", "side"),
    [
        (plain, "first", 3), (plain, "second", 8),
        (padded, "first", 3), (padded, "dilated", 7), (padded, "strided", 9),
    ],
)  # fmt: skip
def test_a_window_alone_says_what_the_unit_says_of_the_image(
    build: Callable[[], keras.Model], layer: str, side: int
) -> None:
    keras.utils.set_random_seed(1)
    model = build()
    rows, columns = receptive_fields(model, layer).middle()
    part = part_of(model, layer)
    assert part is not None
    assert part.input_shape[1:3] == (side, side)
    images = np.random.default_rng(3).uniform(0, 255, (5, *model.input_shape[1:])).astype(np.float32)
    maps = infer(keras.Model(model.inputs[0], before_activation(model, model.get_layer(layer))), images).numpy()
    expected = maps[:, maps.shape[1] // 2, maps.shape[2] // 2]
    np.testing.assert_allclose(infer(part, images[:, rows, columns]), expected, rtol=1e-4, atol=1e-4)


def test_weights_are_the_models_own() -> None:
    model = plain()
    part = part_of(model, "second")
    assert part is not None
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    assert not infer(part, np.ones((1, 8, 8, 1), np.float32)).numpy().any()


def test_padding_that_shifts_one_branch_against_the_other_is_seen() -> None:
    """Of an odd side a window of 3 with stride 2 begins where one of 4 does, of an even side a pixel behind it: what
    both see together is the same."""
    pixels = keras.Input((17, 17, 1))
    x = layers.Conv2D(3, 3, padding="same")(pixels)
    branches = [layers.Conv2D(3, side, strides=2, padding="same")(x) for side in (3, 4)]
    both = layers.Conv2D(2, 1, name="both")(layers.Add()(branches))
    model = keras.Model(pixels, layers.Dense(2)(layers.Flatten()(both)))
    assert unit_of_all(model, "both", (6, 6)) == (1, 1)
    assert part_of(model, "both") is None


def test_a_unit_that_sees_all_there_is_or_the_border_needs_the_whole_image() -> None:
    pixels = keras.Input((6, 6, 1))
    x = layers.Conv2D(2, 6, name="all")(pixels)
    model = keras.Model(pixels, layers.Dense(2)(layers.Flatten()(x)))
    assert part_of(model, "all") is None
    pixels = keras.Input((8, 8, 1))
    x = layers.Conv2D(2, 3, padding="same")(layers.MaxPooling2D(4)(pixels))
    x = layers.Conv2D(2, 1, name="cut_off")(x)
    assert part_of(keras.Model(pixels, layers.Dense(2)(layers.Flatten()(x))), "cut_off") is None


def test_behind_a_layer_whose_window_is_not_known_the_whole_image_is_taken() -> None:
    pixels = keras.Input((12, 12, 1))
    x = layers.Conv2D(3, 3, name="first")(pixels)
    gate = layers.Reshape((1, 1, 3))(layers.GlobalAveragePooling2D()(x))
    x = layers.Conv2D(2, 3, name="gated")(layers.Multiply()([x, gate]))
    model = keras.Model(pixels, layers.Dense(2)(layers.Flatten()(x)))
    assert part_of(model, "first") is not None
    assert part_of(model, "gated") is None
