import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from harness.errors import UserError
from harness.insight.saliency import contrast, integrated_gradients


def test_is_the_difference_to_the_map_of_the_strongest_other_class() -> None:
    net = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(3, 3, activation="relu", kernel_initializer=keras.initializers.GlorotUniform(1)),
            keras.layers.Flatten(),
            keras.layers.Dense(4, kernel_initializer=keras.initializers.GlorotUniform(2)),
        ]
    )
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)
    labels = np.array([0, 1, 2, 3])
    others = net(images.astype(np.float32)).numpy()
    others[np.arange(4), labels] = -np.inf
    steps = {"steps": 2700}  # the most there are, so that all three take as many
    expected = integrated_gradients(net, images, labels, **steps) - integrated_gradients(
        net, images, others.argmax(axis=1), **steps
    )
    np.testing.assert_allclose(
        contrast(net, images, labels, **steps), expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max()
    )


def test_adds_up_to_what_the_difference_gains(trained: keras.Model, digits: NDArray[np.uint8]) -> None:
    says, black = (trained(of.astype(np.float32)).numpy() for of in (digits, np.zeros_like(digits)))
    second, first = says.argsort(axis=1)[:, -2:].T
    rows = np.arange(len(digits))
    own, rival = (says - black)[rows, first], (says - black)[rows, second]
    found = contrast(trained, digits, first).sum(axis=(1, 2))
    assert (np.abs(found - (own - rival)) <= 0.011 * (np.abs(own) + np.abs(rival)) + 0.0011).all()


def test_tells_two_classes_apart_that_share_all_else() -> None:
    # Both classes see the left half alike; the right half speaks for class 0 alone. Class 2 is far behind.
    def logits(images: tf.Tensor) -> tf.Tensor:
        left, right = (tf.reduce_sum(images[:, :, half], axis=(1, 2, 3)) for half in (slice(3), slice(3, 6)))
        return tf.stack([left + right, left, -left], axis=1)

    images = np.ones((1, 4, 6, 1), np.uint8)
    (found,) = contrast(logits, images, np.array([0]))
    np.testing.assert_allclose(found, np.repeat([[0, 0, 0, 1, 1, 1]], 4, axis=0), atol=1e-5)
    (reverse,) = contrast(logits, images, np.array([1]))
    np.testing.assert_allclose(reverse, -found, atol=1e-5)


def test_one_logit_has_no_rival() -> None:
    with pytest.raises(UserError, match="one logit"):
        contrast(lambda images: tf.reduce_sum(images, axis=(1, 2)), np.ones((1, 4, 4, 1)), np.array([0]))
