from typing import Any

import keras
import numpy as np
import pytest

from harness.insight.saliency import gradient
from harness.insight.trust.controls import brightness, centre, chance, edges, mean_of_others, untrained

LABELS = np.zeros(1, np.int32)


def unasked(pixels: Any) -> Any:
    raise AssertionError("a control asks no model")


def test_edges_are_those_of_the_image() -> None:
    image = np.zeros((1, 6, 6, 1), np.uint8)
    image[:, :, 3:] = 10
    (found,) = edges(unasked, image, LABELS)
    assert (found[:, 2:4] == 40).all()  # 10 · (1 + 2 + 1)
    assert found[:, :2].max() == found[:, 4:].max() == 0


def test_edges_of_an_image_do_not_see_its_neighbours() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 1), dtype=np.uint8)
    labels = np.zeros(3, np.int32)
    np.testing.assert_array_equal(edges(unasked, images, labels)[1:2], edges(unasked, images[1:2], labels[1:2]))


def test_chance_is_the_same_for_an_image_wherever_it_stands() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 1), dtype=np.uint8)
    labels = np.zeros(3, np.int32)
    np.testing.assert_array_equal(chance(unasked, images, labels)[1:], chance(unasked, images[1:], labels[1:]))
    assert (chance(unasked, images, labels, seed=1) != chance(unasked, images, labels)).any()


def test_brightness_is_the_mean_over_channels() -> None:
    images = np.array([[[[10, 20, 60], [0, 0, 3]]]], np.uint8)
    assert brightness(unasked, images, LABELS).tolist() == [[[30, 1]]]


def test_the_centre_falls_off_on_every_side_alike() -> None:
    (blob,) = centre(unasked, np.zeros((1, 5, 9, 1), np.uint8), LABELS)
    assert np.unravel_index(blob.argmax(), blob.shape) == (2, 4)
    np.testing.assert_allclose(blob, blob[::-1])
    np.testing.assert_allclose(blob, blob[:, ::-1])
    # One row off is a fifth of the side, 0.8 deviations; a whole side is four.
    assert blob[3, 4] == pytest.approx(np.exp(-(0.8**2) / 2))


def test_the_mean_of_others_leaves_the_image_out() -> None:
    maps = np.zeros((3, 1, 2), np.float32)
    maps[0, 0], maps[1, 0], maps[2, 0] = (4, 2), (0, -10), (1, 0)
    np.testing.assert_allclose(mean_of_others(maps)[:, 0], [[0.5, -0.5], [1, 0.25], [0.5, -0.25]])


def test_the_mean_of_others_of_a_lone_image_is_nothing() -> None:
    assert not mean_of_others(np.ones((1, 2, 2), np.float32)).any()


def test_untrained_maps_are_those_of_fresh_weights_which_are_put_back(
    trained: keras.Model, digits: np.ndarray, predicted: np.ndarray
) -> None:
    few = digits[:4], predicted[:4]
    before = gradient(trained, *few)
    drawn = untrained(trained, {"gradient": gradient}, *few)["gradient"]
    again, other = (untrained(trained, {"gradient": gradient}, *few, seed=seed)["gradient"] for seed in (0, 1))
    np.testing.assert_array_equal(drawn, again)
    assert (drawn != other).any()
    assert (drawn != before).any()
    np.testing.assert_array_equal(gradient(trained, *few), before)


def test_several_draws_of_untrained_weights_take_turns_over_the_images(
    trained: keras.Model, digits: np.ndarray, predicted: np.ndarray
) -> None:
    same = np.repeat(digits[:1], 6, axis=0), np.repeat(predicted[:1], 6)
    maps = untrained(trained, {"gradient": gradient}, *same)["gradient"]
    assert len(np.unique(maps[:4].reshape(4, -1), axis=0)) == 4
    np.testing.assert_allclose(maps[4:], maps[:2], rtol=1e-3, atol=1e-9)
