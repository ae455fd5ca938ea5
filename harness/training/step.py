"""One step's loss and gradients on one replica: pure functions of model and batch."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from harness.cluster.batch import BatchPlan


class Batch(NamedTuple):
    """A replica's rows of one step, as the pipeline hands them over."""

    images: tf.Tensor  # (n, height, width, channels) uint8
    labels: tf.Tensor  # (n,) int32
    weights: tf.Tensor  # (n,) float32, 0 for padding
    positions: tf.Tensor  # (n,) int64


def losses(logits: tf.Tensor, labels: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """Softmax cross-entropy of each example, (n,), with label smoothing (Szegedy et al. 2016, arXiv 1512.00567, §7)."""
    classes = logits.shape[-1]
    targets = tf.one_hot(labels, classes, 1 - smoothing + smoothing / classes, smoothing / classes, dtype=logits.dtype)
    return tf.nn.softmax_cross_entropy_with_logits(targets, logits)


def is_correct(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Whether the largest logit is the label's, (n,) bool."""
    return tf.argmax(logits, axis=1, output_type=tf.int32) == labels


def gradients(
    model: keras.Model,
    batch: Batch,
    plan: BatchPlan,
    smoothing: float = 0.0,
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """This replica's share of the gradient of the mean loss over the global batch, and [Σ loss, Σ correct].

    The micro-batches' gradients are added up; `augment` takes (images, positions). No reduction over replicas.
    """
    if plan.micro_batches == 1:
        return _micro_gradients(model, batch, plan.global_batch, smoothing, augment)
    micro = Batch(*(tf.reshape(part, [plan.micro_batches, plan.micro_rows, *part.shape[1:]]) for part in batch))
    total = [tf.zeros(variable.shape, variable.dtype) for variable in model.trainable_variables]
    sums = tf.zeros([2], model.outputs[0].dtype)
    for index in tf.range(plan.micro_batches):
        part = Batch(*(tensor[index] for tensor in micro))
        grads, part_sums = _micro_gradients(model, part, plan.global_batch, smoothing, augment)
        total = [added + grad for added, grad in zip(total, grads, strict=True)]
        sums += part_sums
    return total, sums


def _micro_gradients(
    model: keras.Model,
    batch: Batch,
    global_batch: int,
    smoothing: float,
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None,
) -> tuple[list[tf.Tensor], tf.Tensor]:
    images = augment(batch.images, batch.positions) if augment else batch.images
    with tf.GradientTape() as tape:
        logits = model(tf.cast(images, model.inputs[0].dtype), training=True)
        weights = tf.cast(batch.weights, logits.dtype)
        loss_sum = tf.reduce_sum(weights * losses(logits, batch.labels, smoothing))
        loss = loss_sum / global_batch
    correct = tf.reduce_sum(weights * tf.cast(is_correct(logits, batch.labels), logits.dtype))
    return tape.gradient(loss, [v.value for v in model.trainable_variables]), tf.stack([loss_sum, correct])
