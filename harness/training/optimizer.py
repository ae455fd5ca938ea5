"""Keras's update rules, as pure functions of gradients, weights and slots; and what is done to a gradient before."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from harness.config.optimizer import SGD, Adam, AdamW
from harness.keras_internals import optimizer_moments, pure

SLOTS = {"adam": 2, "adamw": 2, "sgd": 1}
"""How many arrays of the weights' size each update rule keeps."""


def build(section: Adam | AdamW | SGD, learning_rate: Any) -> keras.optimizers.Optimizer:
    """The update rule, with `learning_rate` a float or a schedule. To be called in the strategy's scope.

    Its `stateless_apply` is pure. Its variables' paths begin with the rule's name, as checkpoints need: Keras would
    number the rules of a process.
    """
    if isinstance(section, SGD):
        return pure(keras.optimizers.SGD)(learning_rate, momentum=section.momentum, name=section.name)
    if isinstance(section, AdamW):
        return pure(keras.optimizers.AdamW)(learning_rate, weight_decay=section.weight_decay, name=section.name)
    return pure(keras.optimizers.Adam)(learning_rate, name=section.name)


def all_reduce(vector: tf.Tensor) -> tf.Tensor:
    """Sum a vector over all replicas. To be called in a replica."""
    placed = tf.identity(vector)  # what comes out of a loop has no device, and TensorFlow reduces to that of its input
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, placed)


def clip(gradient: tf.Tensor, norm: tf.Tensor, limit: float) -> tf.Tensor:
    """Scale the gradient, whose norm is `norm`, so that it is at most `limit`.

    Pascanu, Mikolov, Bengio 2013, arXiv 1211.5063, algorithm 1.
    """
    return gradient * tf.minimum(1.0, tf.cast(limit, norm.dtype) / norm)


def preconditioner(optimizer: keras.optimizers.Optimizer, slots: Sequence[tf.Tensor]) -> tf.Tensor | None:
    """By what Adam's next update scales each element of the averaged gradient; None for SGD, which has no such thing.

    With v the second moments after t > 0 updates and ε where Keras has it:

        √(1 - β₂ᵗ) / (√v + ε)  =  1 / (√v̂ + ε/√(1 - β₂ᵗ)),   v̂ = v / (1 - β₂ᵗ)      (Kingma, Ba 2015, section 2)

    Args:
        optimizer: built on one variable.
        slots: values of its variables.
    """
    if not isinstance(optimizer, keras.optimizers.Adam):  # AdamW is one too
        return None
    moment = slots[optimizer_moments(optimizer)]
    correction = tf.sqrt(1 - optimizer.beta_2 ** tf.cast(slots[0], moment.dtype))
    return correction / (tf.sqrt(moment) + optimizer.epsilon)
