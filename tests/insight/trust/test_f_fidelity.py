import keras
import numpy as np
import pytest

from harness.insight.trust.f_fidelity import MOST, f_fidelity, removed

LABELS = np.zeros(4, np.int64)


@pytest.mark.parametrize(("size", "expected"), [(0.05, 10), (0.1, 20), (0.2, 40), (0.5, 40), (0.95, 40)])
def test_half_of_the_important_pixels_go_but_no_more_than_a_tenth_of_all(size: float, expected: int) -> None:
    order = np.random.default_rng(0).permutation(400).reshape(20, 20)
    gone = removed(order, size, np.random.default_rng(1))
    assert gone.sum() == expected
    assert order[gone].max() < size * 400


def test_which_of_them_go_is_drawn() -> None:
    order = np.arange(400).reshape(20, 20)
    one, again, other = (removed(order, 0.5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    assert 50 < order[one].mean() < 150


@pytest.fixture(scope="module")
def linear() -> keras.Model:
    """Class 0 by how bright the upper half is, on 10 × 10 pixels."""
    inputs = keras.Input((10, 10, 1))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    kernel = np.zeros((100, 2), np.float32)
    kernel[:50, 0] = 0.1 / 255
    model.set_weights([kernel, np.array([-2, 0], np.float32)])
    return model


def sigmoid(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))


def test_by_hand_without_fine_tuning(linear: keras.Model) -> None:
    """White images, so that each pixel of the upper half that goes takes 0.1 from the logit, and no other anything."""
    white = np.full((4, 10, 10, 1), 255, np.uint8)
    upper = np.zeros((4, 10, 10), np.float32)
    upper[:, :5] = 1
    found = f_fidelity(linear, {"right": upper, "wrong": -upper}, white, LABELS, (white, LABELS), steps=0)
    # Up to a size of one half all removed pixels lie in the upper half: min(s / 2, 0.1) of 100 pixels.
    whole = sigmoid(5 - 2)
    falls = [whole - sigmoid(3 - 0.1 * gone) for gone in (2, *[8] * 1, *[10] * 3)]
    assert found["right"].important.mean() > np.sum(falls) / 10
    assert (found["right"].important > found["wrong"].important).all()
    assert (found["right"].others < found["wrong"].others).all()
    np.testing.assert_allclose(found["right"].others[0], found["wrong"].important[0], atol=0.05)
    assert 0 <= found["right"].others.min() < found["right"].important.max() <= whole - sigmoid(3 - 0.1 * MOST * 100)


def test_fine_tuning_changes_what_the_model_says_and_leaves_no_trace(linear: keras.Model) -> None:
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (32, 10, 10, 1)).astype(np.uint8), random.integers(0, 2, 32)
    maps = {"a": random.random((4, 10, 10)).astype(np.float32)}
    before = [weight.copy() for weight in linear.get_weights()]
    without, tuned, again = (
        f_fidelity(linear, maps, images[:4], LABELS, (images, labels), steps=steps)["a"] for steps in (0, 3, 3)
    )
    assert (without.important != tuned.important).any()
    np.testing.assert_array_equal(tuned.important, again.important)
    for was, now in zip(before, linear.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
