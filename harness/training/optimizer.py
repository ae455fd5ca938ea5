"""The distributed arithmetic of an update: sum over replicas once, then clip, then Keras's update rule.

Each replica's gradient is that of its examples' summed loss divided by the *global* batch B, so with g_r from replica r

    g = Σ_r g_r = 1/B · Σ_i ∇loss_i

is the gradient of the mean loss over the whole batch whatever the number of replicas. Clipping looks at |g|, which no
replica knows before the sum; so it comes after. Keras's optimizers would sum once more when applied inside a replica,
and clip each g_r on its own: both are switched off here, and nowhere else.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from harness.config.optimizer import SGD, Adam, AdamW

SLOTS = {"adam": 2, "adamw": 2, "sgd": 1}
"""How many arrays of the weights' size each update rule keeps."""


def build(section: Adam | AdamW | SGD, learning_rate: Any) -> keras.optimizers.Optimizer:
    """The update rule, with `learning_rate` a float or a schedule. To be called in the strategy's scope.

    Its variables' paths begin with the rule's name, as checkpoints need: Keras would number the rules of a process.
    """
    if isinstance(section, SGD):
        return _SGD(learning_rate, momentum=section.momentum, name=section.name)
    if isinstance(section, AdamW):
        return _AdamW(learning_rate, weight_decay=section.weight_decay, name=section.name)
    return _Adam(learning_rate, name=section.name)


def all_reduce(gradients: Sequence[tf.Tensor], scalars: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Sum the gradients and a vector of scalars over all replicas, in a single all-reduce of a single tensor.

    To be called in a replica. The gradients keep shapes and dtype; the scalars travel in the gradients' dtype.
    """
    sizes = [tensor.shape.num_elements() for tensor in (*gradients, scalars)]
    flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in (*gradients, scalars)], axis=0)
    summed = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, flat)
    *parts, scalars = tf.split(summed, sizes)
    return [tf.reshape(part, gradient.shape) for part, gradient in zip(parts, gradients, strict=True)], scalars


def clip(gradients: Sequence[tf.Tensor], norm: tf.Tensor, limit: float) -> list[tf.Tensor]:
    """Scale the gradients, whose global norm is `norm`, so that it is at most `limit`.

    Pascanu, Mikolov, Bengio 2013, arXiv 1211.5063, algorithm 1.
    """
    scale = tf.minimum(1.0, tf.cast(limit, norm.dtype) / norm)
    return [gradient * scale for gradient in gradients]


def preconditioner(optimizer: keras.optimizers.Optimizer) -> list[tf.Tensor] | None:
    """By what Adam's next update scales each element of the averaged gradient; None for SGD, which has no such thing.

    With v the second moments after t > 0 updates, of the weights' shapes, and ε where Keras has it:

        √(1 - β₂ᵗ) / (√v + ε)  =  1 / (√v̂ + ε/√(1 - β₂ᵗ)),   v̂ = v / (1 - β₂ᵗ)      (Kingma, Ba 2015, section 2)
    """
    if not isinstance(optimizer, keras.optimizers.Adam):  # AdamW is one too
        return None
    moments = [moment.value for moment in optimizer._velocities]  # in the order of the weights
    correction = tf.sqrt(1 - optimizer.beta_2 ** tf.cast(optimizer.iterations.value, moments[0].dtype))
    return [correction / (tf.sqrt(moment) + optimizer.epsilon) for moment in moments]


class _GradientsAreReduced:
    def _all_reduce_sum_gradients(self, grads_and_vars: list[Any]) -> list[Any]:
        return grads_and_vars


class _Adam(_GradientsAreReduced, keras.optimizers.Adam):  # type: ignore[misc]
    pass


class _AdamW(_GradientsAreReduced, keras.optimizers.AdamW):  # type: ignore[misc]
    pass


class _SGD(_GradientsAreReduced, keras.optimizers.SGD):  # type: ignore[misc]
    pass
