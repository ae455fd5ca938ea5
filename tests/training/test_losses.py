"""The losses of single examples, against their formulas in NumPy."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from harness.config import resolve
from harness.training.losses import binary, cross_entropy, evaluation_loss_of, focal, loss_of

RANDOM = np.random.default_rng(0)
LOGITS, LABELS = RANDOM.normal(0, 3, (20, 7)), RANDOM.integers(0, 7, 20)
WEIGHTS = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 10.0]


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    logs: NDArray[np.float64] = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logs


def of_label() -> NDArray[np.float64]:
    return log_softmax(LOGITS)[np.arange(20), LABELS]


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_is_that_of_smoothed_targets(smoothing: float) -> None:
    expected = -(1 - smoothing) * of_label() - smoothing * log_softmax(LOGITS).mean(axis=1)
    np.testing.assert_allclose(cross_entropy(tf.constant(LOGITS), tf.constant(LABELS), smoothing), expected, rtol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_is_its_formula(gamma: float) -> None:
    expected = -((1 - np.exp(of_label())) ** gamma) * of_label()
    np.testing.assert_allclose(focal(tf.constant(LOGITS), tf.constant(LABELS), gamma), expected, rtol=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_has_a_finite_gradient_where_the_model_is_sure(gamma: float) -> None:
    logits = tf.constant([[200.0, 0.0, 0.0], [0.0, 0.0, 200.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = focal(logits, tf.constant([0, 0]), gamma)
    assert np.isfinite(losses).all()
    assert losses[0] == 0
    assert np.isfinite(tape.gradient(losses, logits)).all()


@pytest.mark.parametrize(("name", "plain"), [("cross_entropy", cross_entropy), ("focal", focal)])
def test_class_weights_multiply_the_losses_of_their_examples(name: str, plain: Any) -> None:
    loss = loss_of(resolve({"loss": {"name": name, "class_weights": WEIGHTS}}).loss)
    given = tf.constant(LOGITS), tf.constant(LABELS)
    np.testing.assert_allclose(loss(*given), np.array(WEIGHTS)[LABELS] * plain(*given), rtol=1e-12)


def test_binary_is_the_cross_entropy_of_two_classes() -> None:
    z = RANDOM.normal(0, 5, (20, 1))
    labels = LABELS % 2
    expected = cross_entropy(tf.constant(np.concatenate([-z / 2, z / 2], axis=1)), tf.constant(labels))
    np.testing.assert_allclose(binary(tf.constant(z), tf.constant(labels)), expected, rtol=1e-12)


def test_label_smoothing_is_for_training_alone() -> None:
    given = tf.constant(LOGITS), tf.constant(LABELS)
    section = resolve({"loss": {"label_smoothing": 0.3, "class_weights": WEIGHTS}}).loss
    expected = np.array(WEIGHTS)[LABELS] * cross_entropy(*given)
    np.testing.assert_allclose(evaluation_loss_of(section)(*given), expected, rtol=1e-12)
    assert not np.allclose(loss_of(section)(*given), expected)
