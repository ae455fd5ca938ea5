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
    """Where there is one, the moving average of the weights, as one vector, and behind it that of each of `floats` of
    `other`."""
    loss_scale: list[tf.Tensor]
    """In float16: what the loss is multiplied by, float32, and since how many steps, int64 (see loss_scale.py)."""


def floats(other: list[tf.Tensor]) -> list[tf.Tensor]:
    """Those of a model's other variables that can be averaged: moving statistics, and no states of random layers."""
    return [value for value in other if value.dtype.is_floating]


class ChunkProgress(NamedTuple):
    """How a chunk fares. It stands still from the first step that fails on."""

    healthy: tf.Tensor  # () bool, whether no step has failed
    steps: tf.Tensor  # () int64, that were taken
    sums: tf.Tensor  # (sums + 2,) float64: Σ loss, Σ of each metric, Σ gradient norm, updates

    @classmethod
    def start(cls, sums: int) -> "ChunkProgress":
        return cls(tf.constant(True), tf.constant(0, tf.int64), tf.zeros([sums + 2], tf.float64))
