"""Sums over workers, with which they agree on values and on what to do next."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness.cluster.strategy import Cluster


def sum_over_workers(cluster: Cluster, values: NDArray[Any]) -> NDArray[Any]:
    """The element-wise sum of every worker's `values`; every worker must call it with the same shape and dtype."""
    if cluster.workers == 1:
        return values
    strategy = cluster.strategy
    local = cluster.replicas // cluster.workers

    def contribution(context: tf.distribute.ReplicaContext) -> tf.Tensor:
        first = context.replica_id_in_sync_group % local == 0
        return tf.constant(values if first else np.zeros_like(values))

    per_replica = strategy.experimental_distribute_values_from_function(contribution)
    return np.asarray(strategy.reduce("SUM", per_replica, axis=None))


def from_chief(cluster: Cluster, values: NDArray[Any]) -> NDArray[Any]:
    """The chief's `values` on every worker: the others add zeros."""
    return sum_over_workers(cluster, values if cluster.is_chief else np.zeros_like(values))
