"""A loss of one's own, which is a metric too.

    harness train mnist --set loss='{name: "squared:squared"}' --set metrics='{brier: {name: "squared:squared"}}'

In Python: `harness.train("mnist", loss=squared, metrics={"brier": squared})`.
"""

import tensorflow as tf


def squared(logits: tf.Tensor, labels: tf.Tensor, scale: float = 1.0) -> tf.Tensor:
    """Σ over classes of (p - 1 for the label, else 0)² (Brier 1950, Monthly Weather Review 78, 1), times `scale`.

    Args:
        logits: (n, classes).
        labels: (n,).

    Returns:
        (n,), one number for each example.
    """
    targets = tf.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return scale * tf.reduce_sum((tf.nn.softmax(logits) - targets) ** 2, axis=1)
