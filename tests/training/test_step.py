from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from harness.cluster.batch import BatchPlan
from harness.data.pipeline import Batch
from harness.data.sources import Split
from harness.models.cnn import build
from harness.training.step import gradients


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return build("cnn", (28, 28, 1), 10, seed=3)


def batch(split: Split, real: int, padded: int) -> Batch:
    """The first `real` rows, and padding up to `padded` that repeats the first row."""
    row = np.where(np.arange(padded) < real, np.arange(padded), 0)
    return Batch(
        tf.constant(split.images[row]),
        tf.constant(split.labels[row], tf.int64),
        tf.constant(np.arange(padded) < real, tf.float32),
        tf.constant(row, tf.int64),
    )


def share(model: keras.Model, given: Batch, global_batch: int) -> tuple[list[tf.Tensor], tf.Tensor]:
    """At the model's own weights."""
    weights, other = ([v.value for v in part] for part in (model.trainable_variables, model.non_trainable_variables))
    grads, sums, _ = gradients(model, weights, other, given, global_batch)
    return grads, sums


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


def test_gradients_are_those_of_the_mean_loss(model: keras.Model, train_rows: Split) -> None:
    expected, loss, correct = of_the_mean_loss(model, train_rows, 24)
    grads, sums = share(model, batch(train_rows, 24, 24), 24)
    assert_close(grads, expected)
    np.testing.assert_allclose(sums, [24 * loss, correct], rtol=1e-6)


def test_padding_does_not_count(model: keras.Model, train_rows: Split) -> None:
    expected, loss, correct = of_the_mean_loss(model, train_rows, 17)
    grads, sums = share(model, batch(train_rows, 17, 20), 17)
    assert_close(grads, expected)
    np.testing.assert_allclose(sums, [17 * loss, correct], rtol=1e-6)


def test_padding_that_happens_to_be_right_does_not_count(model: keras.Model, train_rows: Split) -> None:
    predicted = np.argmax(model(train_rows.images[:].astype(np.float32)), axis=1).astype(np.int32)
    _, sums = share(model, batch(Split(train_rows.images, predicted), 3, 20), 3)
    assert sums[1] == 3


@pytest.mark.parametrize(
    "plan", [BatchPlan(20, 3), BatchPlan(20, 1, 4), BatchPlan(20, 1, 7), BatchPlan(20, 1, 19)], ids=str
)
def test_shares_of_replicas_and_micro_batches_add_up_to_the_whole(
    model: keras.Model, train_rows: Split, plan: BatchPlan
) -> None:
    expected, loss, correct = of_the_mean_loss(model, train_rows, 20)
    rows, parts = plan.micro_rows, plan.micro_batches * plan.replicas
    assert parts > 1
    whole = batch(train_rows, 20, rows * parts)
    shares = [
        share(model, Batch(*(tensor[part * rows : (part + 1) * rows] for tensor in whole)), 20) for part in range(parts)
    ]
    assert_close([sum(grads) for grads in zip(*(grads for grads, _ in shares), strict=True)], expected)
    np.testing.assert_allclose(sum(sums for _, sums in shares), [20 * loss, correct], rtol=1e-6)


def test_shares_add_up_in_float64_too(train_rows: Split) -> None:
    model = build("cnn", (28, 28, 1), 10, seed=3, dtype="float64")
    given = batch(train_rows, 8, 8)
    whole, whole_sums = share(model, given, 8)
    (first, first_sums), (second, second_sums) = (
        share(model, Batch(*(tensor[half] for tensor in given)), 8) for half in (slice(0, 4), slice(4, 8))
    )
    assert {tensor.dtype for tensor in (*whole, *first, whole_sums, first_sums)} == {tf.float64}
    for one, other, expected in zip(first, second, whole, strict=True):
        np.testing.assert_allclose(one + other, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(first_sums + second_sums, whole_sums, rtol=1e-12)


def summed_kernel_gradient(model: keras.Model, split: Split, plan: BatchPlan) -> NDArray[np.float32]:
    """Of the model's first weight, over the micro-batches of all replicas that share the first 20 rows."""
    rows, parts = plan.micro_rows, plan.micro_batches * plan.replicas
    whole = batch(split, 20, rows * parts)
    pieces = (Batch(*(tensor[part * rows : (part + 1) * rows] for tensor in whole)) for part in range(parts))
    total: NDArray[np.float32] = np.sum([share(model, piece, 20)[0][0].numpy() for piece in pieces], axis=0)
    return total


@pytest.mark.parametrize("plan", [BatchPlan(20, 1), BatchPlan(20, 3), BatchPlan(20, 1, 7)], ids=str)
def test_a_penalty_on_weights_counts_once(train_rows: Split, plan: BatchPlan) -> None:
    pixels = keras.Input((28, 28, 1))
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels))
    penalized = keras.Model(pixels, keras.layers.Dense(10, kernel_regularizer=keras.regularizers.L2(0.5))(flat))
    plain = keras.Model(pixels, keras.layers.Dense(10)(flat))
    plain.set_weights(penalized.get_weights())
    penalty = 2 * 0.5 * penalized.get_weights()[0]
    with_it, without = (summed_kernel_gradient(model, train_rows, plan) for model in (penalized, plain))
    np.testing.assert_allclose(with_it - without, penalty, atol=1e-5)


class AddsSquares(keras.layers.Layer):  # type: ignore[misc]
    """Adds the mean of the squares of what passes through it to the loss."""

    def call(self, inputs: Any) -> Any:
        self.add_loss(keras.ops.mean(keras.ops.square(inputs)))
        return inputs


@pytest.mark.parametrize("plan", [BatchPlan(20, 1), BatchPlan(20, 4), BatchPlan(20, 2, 5)], ids=str)
def test_what_a_layer_adds_to_the_loss_counts_once(train_rows: Split, plan: BatchPlan) -> None:
    pixels = keras.Input((28, 28, 1))
    logits = keras.layers.Dense(10)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels)))
    plain, adding = keras.Model(pixels, logits), keras.Model(pixels, AddsSquares()(logits))
    assert plan.padded_rows * plan.replicas == 20  # the layer would see padding too
    images = train_rows.images[:20].astype(np.float32)
    expected = images.reshape(20, -1).T / 255 @ plain(images).numpy() * 2 / (20 * 10)
    with_it, without = (summed_kernel_gradient(model, train_rows, plan) for model in (adding, plain))
    np.testing.assert_allclose(with_it - without, expected, atol=1e-6)
