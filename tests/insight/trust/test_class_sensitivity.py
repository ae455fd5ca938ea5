import keras
import numpy as np
import pytest

from harness.insight.saliency import bound
from harness.insight.trust import assess, assessments
from harness.insight.trust.class_sensitivity import NotAsked, class_sensitivity, not_asked, runner_up
from harness.models.logits import pixels_to_logits

N = 8


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((N, 10, 10)).astype(np.float32)


def test_by_hand() -> None:
    maps = np.array([[[1, 2, 3]], [[1, 3, 2]]], np.float32)
    found = class_sensitivity(maps, np.array([[[3, 2, 1]], [[1, 3, 2]]], np.float32))
    assert found.between_classes.mean == pytest.approx((2 + 0) / 2)
    assert found.between_images.mean == pytest.approx(0.5)  # ranks (1, 2, 3) and (1, 3, 2) correlate at 0.5
    assert found.beyond_halfway.mean == pytest.approx(1 - 0.25)


def test_a_map_that_is_the_same_for_every_class_is_not_class_specific() -> None:
    found = class_sensitivity(noise(0), noise(0))
    assert found.between_classes.mean == pytest.approx(0)
    assert found.class_specific == "no"


def test_a_map_that_changes_with_the_class_as_with_the_image_is() -> None:
    assert class_sensitivity(noise(0), noise(1)).class_specific == "yes"


def test_what_all_maps_share_counts_for_neither() -> None:
    common = 10 * np.random.default_rng(2).standard_normal((10, 10)).astype(np.float32)
    by_class = class_sensitivity(common + noise(0), common + noise(1))
    assert by_class.between_classes.mean < 0.1
    assert by_class.class_specific == "yes"
    by_image = class_sensitivity(common + noise(0), common + noise(0) + 0.2 * noise(1))
    assert by_image.class_specific == "no"


def test_an_interval_stays_between_0_and_2() -> None:
    """Maps that are nearly the same for both classes but for one image's."""
    other = noise(0) + np.float32(0.01) * noise(1)
    other[0] = noise(2)[0]
    found = class_sensitivity(noise(0), other).between_classes
    assert 0 < found.low < found.mean < found.high < 2


def test_a_lone_image_has_no_yardstick() -> None:
    found = class_sensitivity(noise(0)[:1], noise(1)[:1])
    assert np.isnan(found.between_images.mean)
    assert found.class_specific == "can't tell"


def test_the_runner_up_is_the_highest_but_the_label() -> None:
    outputs = np.array([[1, 5, 3], [1, 5, 3], [-1, -2, -3]], np.float32)
    assert runner_up(outputs, np.array([1, 2, 0])).tolist() == [2, 1, 1]


def a_model(units: int, activation: str) -> keras.Model:
    pixels = keras.Input((6, 6, 1))
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3, activation="relu")(pixels))
    return pixels_to_logits(keras.Model(pixels, keras.layers.Dense(units, activation)(x)), (6, 6, 1))


@pytest.mark.parametrize(("units", "activation"), [(1, "sigmoid"), (2, "softmax")])
def test_it_is_not_asked_of_two_classes(units: int, activation: str) -> None:
    model = a_model(units, activation)
    images = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 1)).astype(np.uint8)
    labels = model.predict_on_batch(images.astype(np.float32)).argmax(axis=1)
    methods = {name: bound(name) for name in ("gradient", "gradient_times_input")}
    maps = {name: method(model, images, labels) for name, method in methods.items()}
    told: list[str] = []
    found = assess(model, methods, images, labels, maps, progress=told.append)
    assert {of.class_sensitivity for of in found.methods.values()} == {NotAsked("two classes")}
    assert len(told) == assessments(model)


def test_it_is_asked_of_several_classes_and_of_two_that_may_both_be_there() -> None:
    assert not_asked(a_model(3, "softmax"), "gradient") is None
    assert not_asked(a_model(2, "sigmoid"), "gradient") is None


def test_it_is_not_asked_of_a_contrast_whose_rival_has_the_same_map_turned_over() -> None:
    model = a_model(3, "softmax")
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 1)).astype(np.uint8)
    outputs = model.predict_on_batch(images.astype(np.float32))
    labels = outputs.argmax(axis=1)
    explain = bound("contrast")
    turned = explain(model, images, runner_up(outputs, labels))
    np.testing.assert_allclose(explain(model, images, labels), -turned, atol=1e-6)
    assert not_asked(model, "contrast") is not None
