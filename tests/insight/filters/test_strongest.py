import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.insight.filters import strongest
from harness.insight.layers import before_activation


def small(channels: int = 1) -> keras.Model:
    keras.utils.set_random_seed(4)
    return keras.Sequential(
        [
            keras.Input((28, 28, channels)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(5, 3, padding="same", activation="relu", name="first"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(6, (3, 5), activation="tanh", name="second"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_the_images_and_units_that_brute_force_finds(digits: NDArray[np.uint8], channels: int) -> None:
    images = np.repeat(digits, channels, axis=-1)
    model = small(channels)
    found = strongest(model, images, best=4)
    assert list(found) == ["first", "second"]
    for name, of in found.items():
        before = keras.Model(model.inputs[0], before_activation(model, model.get_layer(name)))
        maps = before(images.astype(np.float32)).numpy()
        assert of.rows.shape == of.activations.shape == (maps.shape[-1], 4)
        for number in range(maps.shape[-1]):
            by_image = maps[..., number].reshape(len(images), -1)
            rows = np.argsort(-by_image.max(axis=1), kind="stable")[:4]
            np.testing.assert_array_equal(of.rows[number], rows)
            np.testing.assert_allclose(of.activations[number], by_image.max(axis=1)[rows], rtol=1e-5)
            places = np.unravel_index(by_image[rows].argmax(axis=1), maps.shape[1:3])
            np.testing.assert_array_equal(of.units[number], np.stack(places, axis=1))


def test_what_lies_outside_the_field_does_not_matter(digits: NDArray[np.uint8]) -> None:
    model = small()
    of = strongest(model, digits, best=3)["second"]
    units = keras.Model(model.inputs[0], before_activation(model, model.get_layer("second")))
    for number in range(6):
        for row, (top, bottom, left, right), (i, j), value in zip(
            of.rows[number], of.fields[number], of.units[number], of.activations[number], strict=True
        ):
            image = np.random.default_rng(0).uniform(0, 255, (1, 28, 28, 1)).astype(np.float32)
            image[0, top:bottom, left:right] = digits[row, top:bottom, left:right]
            np.testing.assert_allclose(units(image)[0, i, j, number], value, rtol=1e-4)


def test_a_field_at_the_edge_is_cut_off() -> None:
    pixels = keras.Input((6, 7, 1))
    model = keras.Model(pixels, keras.layers.Conv2D(1, 3, padding="same", name="conv")(pixels))
    model.set_weights([np.ones((3, 3, 1, 1)), np.zeros(1)])
    image = np.zeros((1, 6, 7, 1), np.uint8)
    image[0, 0, 6] = 200  # in the fields of four units; the first of them counts
    of = strongest(model, image)["conv"]
    np.testing.assert_array_equal(of.units, [[[0, 5]]])
    np.testing.assert_array_equal(of.fields, [[[0, 2, 4, 7]]])


def test_equals_come_in_the_order_of_the_images_across_batches() -> None:
    pixels = keras.Input((4, 4, 1))
    model = keras.Model(pixels, keras.layers.Conv2D(1, 3, name="conv")(pixels))
    model.set_weights([np.ones((3, 3, 1, 1)), np.zeros(1)])
    images = np.zeros((600, 4, 4, 1), np.uint8)
    images[[7, 260, 599]] = 9
    of = strongest(model, images, best=5)["conv"]
    np.testing.assert_array_equal(of.rows, [[7, 260, 599, 0, 1]])


def test_fewer_images_than_asked_for(digits: NDArray[np.uint8]) -> None:
    assert strongest(small(), digits[:2])["first"].rows.shape == (5, 2)


def test_what_is_in_a_batch_does_not_matter(digits: NDArray[np.uint8]) -> None:
    model = small()
    whole = strongest(model, digits)
    for name, of in strongest(model, digits[::-1]).items():
        np.testing.assert_allclose(of.activations, whole[name].activations, rtol=1e-5)


def test_dead_filters(digits: NDArray[np.uint8]) -> None:
    model = small()
    kernel, bias = model.get_layer("first").get_weights()
    bias[1] = -1e6
    kernel[..., 3], bias[3] = 0, 5
    model.get_layer("first").set_weights([kernel, bias])
    kernel, bias = model.get_layer("second").get_weights()
    kernel[..., 4] = 0
    bias[2] = -1e6  # a tanh that is saturated says the same everywhere too
    model.get_layer("second").set_weights([kernel, bias])
    found = strongest(model, digits)
    assert np.flatnonzero(found["first"].dead).tolist() == [1, 3]
    assert np.flatnonzero(found["second"].dead).tolist() == [2, 4]


def test_a_filter_is_dead_behind_batch_normalization_and_an_activation_of_its_own(digits: NDArray[np.uint8]) -> None:
    pixels = keras.Input((28, 28, 1))
    normalization = keras.layers.BatchNormalization()
    outputs = keras.layers.ReLU()(normalization(keras.layers.Conv2D(3, 3, name="conv")(pixels)))
    model = keras.Model(pixels, outputs)
    normalization.beta.assign([0.0, -1e6, 0.0])
    assert strongest(model, digits)["conv"].dead.tolist() == [False, True, False]


def test_the_classes_of_a_filters_images(digits: NDArray[np.uint8]) -> None:
    of = strongest(small(), digits, best=6)["first"]
    labels = np.arange(len(digits)) % 3
    for rows, classes in zip(of.rows, of.classes(labels), strict=True):
        assert classes == {int(label): int((labels[rows] == label).sum()) for label in labels[rows]}
        assert list(classes.values()) == sorted(classes.values(), reverse=True)


def test_units_that_pooling_leaves_out_do_not_count() -> None:
    pixels = keras.Input((5, 5, 1))
    maps = keras.layers.Conv2D(2, 1, activation="relu", name="conv")(pixels)
    model = keras.Model(pixels, keras.layers.Flatten()(keras.layers.MaxPooling2D(2)(maps)))
    model.get_layer("conv").set_weights([np.ones((1, 1, 1, 2)), np.zeros(2)])
    images = np.zeros((2, 5, 5, 1), np.uint8)
    images[0, 4, 4] = 200
    assert strongest(model, images)["conv"].dead.tolist() == [True, True]
    images[1, 3, 2] = 7
    of = strongest(model, images, best=1)["conv"]
    assert of.rows.tolist() == [[1], [1]]
    assert of.units.tolist() == [[[3, 2]], [[3, 2]]]
    assert of.fields.tolist() == [[[3, 4, 2, 3]], [[3, 4, 2, 3]]]
    assert of.fires.tolist() == [0.5, 0.5]


def test_a_filter_that_fires_for_hardly_an_image_is_rare_and_not_dead() -> None:
    pixels = keras.Input((4, 4, 1))
    maps = keras.layers.Conv2D(3, 1, activation="relu", name="conv")(pixels)
    model = keras.Model(pixels, keras.layers.Flatten()(maps))
    model.get_layer("conv").set_weights([np.ones((1, 1, 1, 3)), np.array([0.0, -100.0, -250.0])])
    images = np.ones((2000, 4, 4, 1), np.uint8)
    images[:, 0, 0] = 0
    images[300, 1, 1] = 200
    found = strongest(model, images)["conv"]
    assert found.fires.tolist() == [1, 1 / 2000, 0]
    assert found.rare.tolist() == [False, True, False]
    assert found.dead.tolist() == [False, False, True]
    images[301, 1, 1] = 200
    assert strongest(model, images)["conv"].rare.tolist() == [False, False, False]  # 0.1 % is not under it


def test_a_least_that_comes_late_counts_for_the_images_before_it() -> None:
    pixels = keras.Input((4, 4, 1))
    model = keras.Model(pixels, keras.layers.Conv2D(1, 1, name="conv")(pixels))
    model.set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    images = np.full((600, 4, 4, 1), 5, np.uint8)
    assert strongest(model, images)["conv"].fires.tolist() == [0]
    images[-1] = 4
    np.testing.assert_allclose(strongest(model, images)["conv"].fires, [599 / 600])


def test_some_layers_alone(digits: NDArray[np.uint8]) -> None:
    model = small()
    (alone,) = strongest(model, digits[:20], layers=["second"]).items()
    assert alone[0] == "second"
    np.testing.assert_array_equal(alone[1].rows, strongest(model, digits[:20])["second"].rows)
