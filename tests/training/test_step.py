import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from harness.cluster.batch import BatchPlan
from harness.data.sources import Split
from harness.models.build import build
from harness.training.step import Batch, gradients, is_correct, losses


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return build("cnn", (28, 28, 1), 10, seed=3)


def batch(split: Split, real: int, padded: int) -> Batch:
    """The first `real` rows, and padding up to `padded` that repeats the first row."""
    row = np.where(np.arange(padded) < real, np.arange(padded), 0)
    return Batch(
        tf.constant(split.images[row]),
        tf.constant(split.labels[row]),
        tf.constant(np.arange(padded) < real, tf.float32),
        tf.constant(row, tf.int64),
    )


def of_the_mean_loss(model: keras.Model, split: Split, rows: int) -> tuple[list[NDArray[np.float32]], float, int]:
    """Gradient, mean loss and correct predictions in a few plain lines of Keras."""
    images, labels = split.images[:rows].astype(np.float32), split.labels[:rows]
    with tf.GradientTape() as tape:
        logits = model(images)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))
    grads = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    return [grad.numpy() for grad in grads], float(loss), int(np.sum(np.argmax(logits, 1) == labels))


def assert_close(actual: list[tf.Tensor], expected: list[NDArray[np.float32]]) -> None:
    for one, other in zip(actual, expected, strict=True):
        assert np.linalg.norm(one.numpy() - other) <= 1e-6 * np.linalg.norm(other) + 1e-9


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_losses_are_the_cross_entropy_with_smoothed_targets(smoothing: float) -> None:
    random = np.random.default_rng(0)
    logits, labels = random.normal(0, 3, (20, 7)), random.integers(0, 7, 20).astype(np.int32)
    of_label = log_softmax(logits)[np.arange(20), labels]
    expected = -(1 - smoothing) * of_label - smoothing * log_softmax(logits).mean(axis=1)
    np.testing.assert_allclose(losses(tf.constant(logits), tf.constant(labels), smoothing), expected, rtol=1e-12)


def test_correct_is_the_largest_logit() -> None:
    logits = tf.constant([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0], [-3.0, -2.0, -1.0]])
    assert is_correct(logits, tf.constant([1, 1, 2])).numpy().tolist() == [True, False, True]


def test_gradients_are_those_of_the_mean_loss(model: keras.Model, train_rows: Split) -> None:
    expected, loss, correct = of_the_mean_loss(model, train_rows, 24)
    grads, sums = gradients(model, batch(train_rows, 24, 24), BatchPlan(24, 1))
    assert_close(grads, expected)
    np.testing.assert_allclose(sums, [24 * loss, correct], rtol=1e-6)


@pytest.mark.parametrize("micro_batch", [None, 5])
def test_padding_does_not_count(model: keras.Model, train_rows: Split, micro_batch: int | None) -> None:
    expected, loss, correct = of_the_mean_loss(model, train_rows, 17)
    grads, sums = gradients(model, batch(train_rows, 17, 20), BatchPlan(17, 1, micro_batch or 20))
    assert_close(grads, expected)
    np.testing.assert_allclose(sums, [17 * loss, correct], rtol=1e-6)


def test_micro_batches_add_up_in_float64_too(train_rows: Split) -> None:
    model = build("cnn", (28, 28, 1), 10, seed=3, dtype="float64")
    whole, whole_sums = gradients(model, batch(train_rows, 8, 8), BatchPlan(8, 1))
    grads, sums = gradients(model, batch(train_rows, 8, 8), BatchPlan(8, 1, 4))
    assert {tensor.dtype for tensor in (*whole, *grads, whole_sums, sums)} == {tf.float64}
    for one, other in zip(grads, whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
    np.testing.assert_allclose(sums, whole_sums, rtol=1e-12)


def test_padding_that_happens_to_be_right_does_not_count(model: keras.Model, train_rows: Split) -> None:
    predicted = np.argmax(model(train_rows.images.astype(np.float32)), axis=1).astype(np.int32)
    _, sums = gradients(model, batch(Split(train_rows.images, predicted), 3, 20), BatchPlan(3, 1, 20))
    assert sums[1] == 3


@pytest.mark.parametrize("micro_batch", [4, 7, 23])
def test_micro_batches_add_up_to_the_whole(model: keras.Model, train_rows: Split, micro_batch: int) -> None:
    plan = BatchPlan(24, 1, micro_batch)
    assert plan.micro_batches > 1
    expected, loss, correct = of_the_mean_loss(model, train_rows, 24)
    grads, sums = tf.function(gradients)(model, batch(train_rows, 24, plan.padded_rows), plan)
    assert_close(grads, expected)
    np.testing.assert_allclose(sums, [24 * loss, correct], rtol=1e-6)


def test_replicas_shares_add_up_to_the_whole(model: keras.Model, train_rows: Split) -> None:
    expected, _, _ = of_the_mean_loss(model, train_rows, 20)
    plan = BatchPlan(20, 3)
    whole = batch(train_rows, 20, 21)
    shares = [Batch(*(part[7 * replica : 7 * replica + 7] for part in whole)) for replica in range(3)]
    summed = [sum(parts) for parts in zip(*(gradients(model, share, plan)[0] for share in shares), strict=True)]
    assert_close(summed, expected)


def test_augmentation_sees_each_image_with_its_position(model: keras.Model, train_rows: Split) -> None:
    seen = []

    def brighter(images: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        seen.append((images.numpy(), positions.numpy()))
        return tf.zeros_like(images)

    given = batch(train_rows, 12, 12)
    grads, _ = gradients(model, given, BatchPlan(12, 1, 4), augment=brighter)
    np.testing.assert_array_equal(np.concatenate([images for images, _ in seen]), given.images)
    np.testing.assert_array_equal(np.concatenate([positions for _, positions in seen]), given.positions)
    black = Split(np.zeros_like(train_rows.images), train_rows.labels)
    assert_close(grads, of_the_mean_loss(model, black, 12)[0])
