"""Loss, accuracy and other metrics over a split: masked sums over all replicas, divided once."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from harness.cluster.strategy import Cluster
from harness.data.gather import data_errors
from harness.data.pipeline import evaluation_batches
from harness.data.sources import Split
from harness.training.metrics import Measures, mean

_PLAIN = Measures()

# There is no Python control flow to convert in what a replica computes, and looking for some takes a third of a second.
_plain = tf.autograph.experimental.do_not_convert


class Evaluator:
    """Calling it with a split gives {"loss", "accuracy", other metrics, "examples"}, the same for any batch and number
    of replicas.

    The counts are equal to the last example; the losses to float32 rounding, since they are added in float64. A loss or
    metric that is not finite is None.
    """

    def __init__(self, cluster: Cluster, model: keras.Model, batch: int, measures: Measures = _PLAIN) -> None:
        self._cluster = cluster
        self._model = model
        self._measures = measures
        self._rows_per_replica = -(-batch // cluster.replicas)
        # Of a method TensorFlow counts the tracings over all evaluators, and warns of many.
        self._sums = tf.function(partial(self._summed))
        self._datasets: dict[int, Any] = {}

    def __call__(self, split: Split) -> dict[str, Any]:
        batches = -(-len(split) // (self._rows_per_replica * self._cluster.replicas))
        with data_errors():
            loss, *metrics, examples = self._sums(iter(self._dataset(split)), tf.constant(batches)).numpy()
        return {
            "loss": mean(loss, examples),
            **self._measures.means(metrics, examples),
            "examples": int(examples),
        }

    def _dataset(self, split: Split) -> Any:
        if id(split) not in self._datasets:
            self._datasets[id(split)] = self._cluster.distribute(
                lambda context: evaluation_batches(split, self._rows_per_replica, context)
            )
        return self._datasets[id(split)]

    def _summed(self, batches: Iterator[Any], count: tf.Tensor) -> tf.Tensor:
        totals = tf.zeros([2 + len(self._measures.metrics)], tf.float64)
        for _ in tf.range(count):
            per_replica = self._cluster.strategy.run(_plain(self._batch_sums), args=self._cluster.next(batches))
            totals += self._cluster.strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)
        return totals

    def _batch_sums(self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        logits = self._model(tf.cast(images, self._model.inputs[0].dtype), training=False)
        weights = tf.cast(weights, tf.float64)
        loss = self._measures.loss_sum(logits, labels, weights)
        return tf.concat([[loss], self._measures.sums(logits, labels, weights), [tf.reduce_sum(weights)]], axis=0)
