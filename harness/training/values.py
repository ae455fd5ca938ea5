"""What a step takes and gives: the state of training, and how a chunk of steps fares, as plain tensors."""

from typing import NamedTuple

import tensorflow as tf


class Values(NamedTuple):
    """The state of training on one replica."""

    weights: tf.Tensor
    """All trainable weights as one vector, (parameters,)."""
    other: list[tf.Tensor]
    """The model's other variables: moving statistics, states of random layers."""
    slots: list[tf.Tensor]
    """The optimizer's variables, the number of updates first."""
    average: list[tf.Tensor]
    """The moving average of the weights, as one vector, where there is one."""
    loss_scale: list[tf.Tensor]
    """In float16: what the loss is multiplied by, float32, and since how many steps, int64 (see loss_scale.py)."""


class Progress(NamedTuple):
    """How a chunk fares. It stands still from the first step that fails on."""

    healthy: tf.Tensor  # () bool, whether no step has failed
    steps: tf.Tensor  # () int64, that were taken
    sums: tf.Tensor  # (sums + 2,) float64: Σ loss, Σ of each metric, Σ gradient norm, updates

    @classmethod
    def start(cls, sums: int) -> "Progress":
        return cls(tf.constant(True), tf.constant(0, tf.int64), tf.zeros([sums + 2], tf.float64))
