"""Loss and gradients of one micro-batch on one replica: pure functions of model and batch."""

from typing import NamedTuple

import keras
import tensorflow as tf


class Batch(NamedTuple):
    """A replica's rows of one micro-batch, as the pipeline hands them over."""

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
    model: keras.Model, batch: Batch, global_batch: int, smoothing: float = 0.0
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """The batch's share of the gradient of the mean loss over `global_batch` examples, and [Σ loss, Σ correct].

    Both in the dtype of the weights, the gradients in their shapes. No reduction over replicas. XLA can compile it.
    """
    with tf.GradientTape() as tape:
        logits = model(tf.cast(batch.images, model.inputs[0].dtype), training=True)
        weights = tf.cast(batch.weights, logits.dtype)
        loss_sum = tf.reduce_sum(weights * losses(logits, batch.labels, smoothing))
        loss = loss_sum / global_batch
    correct = tf.reduce_sum(weights * tf.cast(is_correct(logits, batch.labels), logits.dtype))
    return tape.gradient(loss, [v.value for v in model.trainable_variables]), tf.stack([loss_sum, correct])
