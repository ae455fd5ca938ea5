"""What is measured of each example: the loss, whether it is right, and the metrics of the config."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from harness.config import Config
from harness.config.loss import CrossEntropy, Focal, logits_for
from harness.config.metrics import TopK
from harness.errors import ConfigError
from harness.imports import reason
from harness.keras_internals import function_graph
from harness.training.losses import PerExample, bound, cross_entropy, evaluation_loss_of, loss_of


def accuracy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Whether the largest of the logits (n, classes) is the label's, (n,) bool; of one logit, whether its sign is."""
    if logits.shape[-1] == 1:
        return (logits[:, 0] > 0) == (labels == 1)
    return tf.argmax(logits, axis=1, output_type=labels.dtype) == labels


def top_k(logits: tf.Tensor, labels: tf.Tensor, k: int) -> tf.Tensor:
    """Whether fewer than `k` of the logits (n, classes) are larger than the label's, (n,) bool."""
    logits = _of_classes(logits)
    own = tf.gather(logits, labels, batch_dims=1)
    above = tf.logical_not(logits <= own[:, tf.newaxis])  # NaN counts as above, and so is never a hit
    return tf.reduce_sum(tf.cast(above, tf.int32), axis=1) < k


def negative_log_likelihood(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """-log p of the label, (n,), in the logits' dtype."""
    return cross_entropy(_of_classes(logits), labels)


def brier(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Σ over classes of (p - 1 for the label, else 0)², (n,), 0 to 2 (Brier 1950, Monthly Weather Review 78, 1)."""
    probabilities = tf.nn.softmax(_of_classes(logits))
    targets = tf.one_hot(labels, probabilities.shape[-1], dtype=logits.dtype)
    return tf.reduce_sum(tf.square(probabilities - targets), axis=1)


_SHIPPED: dict[str, Callable[..., tf.Tensor]] = {
    "top_k": top_k,
    "negative_log_likelihood": negative_log_likelihood,
    "brier": brier,
}


@dataclass(frozen=True)
class Measures:
    """The loss, and what is averaged beside it by the name of its mean, the accuracy first."""

    loss: PerExample = cross_entropy
    metrics: dict[str, PerExample] = field(default_factory=lambda: {"accuracy": accuracy})

    def loss_sum(self, logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """The weighted sum of the loss, in the dtype of the weights (n,)."""
        return tf.reduce_sum(weights * tf.cast(self.loss(logits, labels), weights.dtype))

    def sums(self, logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """The weighted sum of each metric, (metrics,), in the dtype of the weights (n,), which are 0 for padding."""
        values = [tf.cast(metric(logits, labels), weights.dtype) for metric in self.metrics.values()]
        return tf.stack([tf.reduce_sum(weights * value) for value in values])

    def means(self, sums: Any, examples: float) -> dict[str, Any]:
        """The mean of each metric, from its sum over so many examples: see `mean`."""
        return {name: mean(total, examples) for name, total in zip(self.metrics, sums, strict=True)}


def mean(total: float, examples: float) -> float | None:
    """None where it is not finite, which JSON can't hold."""
    value = float(total / examples)
    return value if math.isfinite(value) else None


def in_training(config: Config) -> Measures:
    """What the steps of a run measure. Raises ConfigError where one's own can't be imported."""
    return Measures(loss_of(config.loss), _metrics(config))


def in_evaluation(config: Config) -> Measures:
    """What its evaluations measure: the loss without label smoothing."""
    return Measures(evaluation_loss_of(config.loss), _metrics(config))


def _metrics(config: Config) -> dict[str, PerExample]:
    own = {name: bound(section, _SHIPPED, f"metrics.{name}") for name, section in config.metrics.items()}
    return {"accuracy": accuracy, **own}


def check(config: Config, classes: int) -> None:
    """Raise ConfigError where the loss or a metric doesn't fit data of so many classes, or gives something else than
    one number for each example. Nothing is computed: it is looked at in a graph."""
    if config.loss.name == "binary" and classes != 2:
        raise ConfigError(f"loss.name: binary is for two classes, and the data have {classes}: use cross_entropy")
    if isinstance(config.loss, CrossEntropy | Focal) and config.loss.class_weights is not None:
        weights = config.loss.class_weights
        if len(weights) != classes:
            raise ConfigError(f"loss.class_weights: {len(weights)} weights for {classes} classes: give one a class")
        if not any(weights):
            raise ConfigError("loss.class_weights: all are 0, and nothing is left to train on")
    for name, section in config.metrics.items():
        if isinstance(section, TopK) and section.k >= classes:
            raise ConfigError(f"metrics.{name}.k: among {classes} classes the label is always in the top {section.k}")
    measures, logits = in_training(config), logits_for(config.loss, classes)
    _check_result("loss", config.loss.name, measures.loss, logits, must_train=True)
    for name, section in config.metrics.items():
        _check_result(f"metrics.{name}", section.name, measures.metrics[name], logits, must_train=False)


def _check_result(key: str, name: str, function: PerExample, logits: int, must_train: bool) -> None:
    examples = logits + 1  # no number of examples or classes can be taken for the other
    wanted = f"{'floats' if must_train else 'numbers'} of shape ({examples},), one for each example"
    with function_graph():
        outputs = tf.compat.v1.placeholder(tf.float32, (examples, logits))
        labels = tf.compat.v1.placeholder(tf.int64, (examples,))
        given = f"{key}: {name}, given logits of shape {tuple(outputs.shape)} and {examples} labels,"
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            try:
                result = function(outputs, labels)
            except Exception as error:  # noqa: BLE001  the user's own code, which may do anything
                order = "; it must be a function (logits, labels), in that order, and Keras's are (labels, logits)"
                raise ConfigError(f"{given} fails with {reason(error)}{order}") from None
        if not tf.is_tensor(result):
            raise ConfigError(f"{given} returns {_article(type(result).__name__)}: it must return a tensor of {wanted}")
        is_number = result.dtype.is_floating or (not must_train and (result.dtype.is_bool or result.dtype.is_integer))
        if result.shape != (examples,) or not is_number:
            raise ConfigError(f"{given} returns {result.dtype.name} of shape {result.shape}: it must return {wanted}")
        if must_train and tape.gradient(result, outputs) is None:
            raise ConfigError(f"{given} has no gradient: it must be computed by differentiable operations")


def _article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _of_classes(logits: tf.Tensor) -> tf.Tensor:
    """The logits of two classes where there is one logit for both."""
    return tf.concat([-logits / 2, logits / 2], axis=1) if logits.shape[-1] == 1 else logits
