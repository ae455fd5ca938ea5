"""The loss of each example: functions (logits, labels) → (n,), where logits are (n, classes) and labels (n,) integers.

One logit z stands for two classes, with the logits -z/2 and z/2: their softmax is the sigmoid of z.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from harness.config.loss import CrossEntropy, LossSection
from harness.errors import ConfigError
from harness.imports import load_object

PerExample = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""(logits, labels) → (n,)"""


def cross_entropy(
    logits: tf.Tensor, labels: tf.Tensor, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None
) -> tf.Tensor:
    """Softmax cross-entropy of each example, (n,), in the logits' dtype.

    Args:
        logits: (n, classes)
        labels: (n,) integers
        label_smoothing: share of the target spread evenly over all classes (Szegedy et al. 2016, arXiv 1512.00567, §7).
        class_weights: one a class, by which the losses of its examples are multiplied. The mean loss still divides by
            the number of examples, not by the sum of their weights.
    """
    classes = logits.shape[-1]
    low = label_smoothing / classes
    targets = tf.one_hot(labels, classes, 1 - label_smoothing + low, low, dtype=logits.dtype)
    return _weighted(tf.nn.softmax_cross_entropy_with_logits(targets, logits), labels, class_weights)


def focal(
    logits: tf.Tensor, labels: tf.Tensor, gamma: float = 2.0, class_weights: Sequence[float] | None = None
) -> tf.Tensor:
    """Focal loss of each example, (n,): -(1 - p)^gamma · log p, p being the label's probability (Lin et al. 2017, arXiv
    1708.02002, eq. 4; with class weights, eq. 5)."""
    is_label = tf.one_hot(labels, logits.shape[-1], True, False, dtype=tf.bool)
    others = tf.where(is_label, tf.constant(logits.dtype.min, logits.dtype), logits)
    # log(1 - p) from the other classes' logits: 1 - p may round to 0, where a power has no finite gradient.
    log_of_rest = tf.reduce_logsumexp(others, axis=1) - tf.reduce_logsumexp(logits, axis=1)
    return _weighted(tf.exp(gamma * log_of_rest) * cross_entropy(logits, labels), labels, class_weights)


def binary(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Sigmoid cross-entropy of each example, (n,), from one logit (n, 1) and labels 0 or 1."""
    return tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(labels, logits.dtype), logits[:, 0])


_SHIPPED: dict[str, Callable[..., tf.Tensor]] = {"cross_entropy": cross_entropy, "focal": focal, "binary": binary}


def loss_of(section: LossSection) -> PerExample:
    """What is trained on. Raises ConfigError where a loss of the user's own can't be imported."""
    return bound(section, _SHIPPED, "loss")


def evaluation_loss_of(section: LossSection) -> PerExample:
    """The same without label smoothing, which belongs to the training as augmentation does."""
    return loss_of(
        section.model_copy(update={"label_smoothing": 0.0}) if isinstance(section, CrossEntropy) else section
    )


def bound(section: Any, shipped: dict[str, Callable[..., tf.Tensor]], key: str) -> PerExample:
    """The function that a section names, with the arguments that it gives. `key` is the section's.

    Raises ConfigError where it can't be imported, or is no function.
    """
    function = shipped[section.name] if section.name in shipped else load_object(section.name, f"{key}.name")
    if not callable(function):
        raise ConfigError(f"{key}.name: {section.name} is {function!r}, which can't be called: name a function")
    return partial(function, **section.model_dump(exclude={"name"}))


def _weighted(losses: tf.Tensor, labels: tf.Tensor, class_weights: Sequence[float] | None) -> tf.Tensor:
    if class_weights is None:
        return losses
    return losses * tf.gather(tf.constant(class_weights, losses.dtype), labels)
