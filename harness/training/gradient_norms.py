"""Squared norms of gradients over a small and a large batch, taken inside a step, for the gradient noise scale.

A step cuts its B examples into pieces anyway: micro-batches of all replicas. Piece k has n_k rows that are no padding
and contributes g_k = 1/B · Σ_i ∇loss_i to the reduced gradient g = Σ_k g_k. Its own mean gradient is (B/n_k)·g_k, and
for examples drawn independently, with true gradient G and covariance Σ of single examples' gradients,

    E|(B/n_k)·g_k|² = |G|² + tr Σ/n_k,          E|g|² = |G|² + tr Σ/B.

Weighted by n_k/B, over the K pieces that are not empty, the first becomes

    small_sq = Σ_k (n_k/B)·|(B/n_k)·g_k|² = Σ_k (B/n_k)·|g_k|²,      E small_sq = |G|² + tr Σ·K/B,

exactly, also for pieces of different size: the squared norm of a gradient over B/K examples. It is one scalar per
replica, and rides in the step's one all-reduce. Where K would be 1 (one replica without accumulation), the batch of a
measured step is cut into halves whose gradients are computed on their own, and K = 2.

Adam follows preconditioned gradients, so with it the same is measured with each g_k and g multiplied elementwise by
Adam's factors (as Pollux's PGNS: Qiao et al. 2021, arXiv 2008.12260). They are those from before the step: they must
not depend on the gradients that they weigh.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from harness.cluster.batch import BatchPlan
from harness.data.pipeline import Batch
from harness.training.optimizer import is_adam, preconditioner
from harness.training.values import Values, floats

Share = Callable[[Values, Batch], tuple[tf.Tensor, list[tf.Tensor]]]
"""A micro-batch → its share of the gradient with the sums behind it as one vector, and the new `values.other`."""

_Norms = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class GradientNorms:
    """Measures every step behind `every`, 2·`every`, … updates. Nothing here looks across replicas."""

    def __init__(self, plan: BatchPlan, optimizer: keras.optimizers.Optimizer, parameters: int, every: int) -> None:
        self._plan = plan
        self._optimizer = optimizer
        self._parameters = parameters
        self._every = every
        self.kinds = ("sq", "sq_preconditioned") if is_adam(optimizer) else ("sq",)
        """The norms taken of each gradient."""
        self.numbers = 1 + 2 * len(self.kinds)
        """How many `of_step` gives."""

    def measuring(self, share: Share) -> Share:
        """`share`, with this micro-batch's part of small_sq, a scalar per kind, behind its vector.

        In a step that is not measured these are 0, and cost nothing.
        """

        def extended(values: Values, batch: Batch, norms: _Norms) -> tuple[tf.Tensor, list[tf.Tensor]]:
            vector, other = share(values, batch)
            return tf.concat([vector, norms(vector[: self._parameters], batch.weights)], axis=0), other

        def of_piece(values: Values, batch: Batch) -> tuple[tf.Tensor, list[tf.Tensor]]:
            def small_if_due(grads: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
                nothing = tf.zeros([len(self.kinds)], grads.dtype)
                return tf.cond(self._is_due(values), lambda: self._small(values, grads, weights), lambda: nothing)

            return extended(values, batch, small_if_due)

        def of_halves(values: Values, batch: Batch) -> tuple[tf.Tensor, list[tf.Tensor]]:
            def small(grads: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
                return self._small(values, grads, weights)

            middle = -(-self._plan.global_batch // 2)
            vector, other = extended(values, Batch(*(part[:middle] for part in batch)), small)
            rest = Batch(*(part[middle:] for part in batch))
            more, other = extended(values._replace(other=other), rest, small)
            halves = vector + more
            if not floats(values.other):
                return halves, other
            # BatchNormalization normalises each half by statistics of its own: what is measured may not change what
            # is trained, so that comes from the whole batch.
            vector, other = share(values, batch)
            return tf.concat([vector, halves[-len(self.kinds) :]], axis=0), other

        def of_batch(values: Values, batch: Batch) -> tuple[tf.Tensor, list[tf.Tensor]]:
            def whole() -> tuple[tf.Tensor, list[tf.Tensor]]:
                return extended(values, batch, lambda grads, _: tf.zeros([len(self.kinds)], grads.dtype))

            vector, other = tf.cond(self._is_due(values), lambda: of_halves(values, batch), whole)
            return vector, other

        return of_piece if self._plan.pieces > 1 else of_batch

    def of_step(self, values: Values, grads: tf.Tensor, small: tf.Tensor, is_taken: tf.Tensor) -> tf.Tensor:
        """[1, small_sq by kind, big_sq by kind] where the step is measured, else zeros.

        Args:
            values: before the update.
            grads: the reduced gradient, before clipping.
            small: the reduced scalars that `measuring` appends.
            is_taken: whether the step counts at all.
        """
        return tf.cond(
            self._is_due(values) & is_taken,
            lambda: tf.concat([[tf.ones([], grads.dtype)], small, self._squared(values, grads)], axis=0),
            lambda: tf.zeros([self.numbers], grads.dtype),
        )

    def rows(self, record: Any) -> list[dict[str, float]]:
        """For each measured step among the rows of `of_step`: the two batch sizes, and the norms by name."""
        names = [f"{size}_{kind}" for size in ("small", "big") for kind in self.kinds]
        batches = {"small_batch": self._plan.global_batch / self._pieces, "big_batch": self._plan.global_batch}
        measured = record[record[:, 0] == 1, 1:]
        return [batches | dict(zip(names, values, strict=True)) for values in measured.tolist()]

    @property
    def _pieces(self) -> int:
        return max(2, self._plan.pieces)

    def _is_due(self, values: Values) -> tf.Tensor:
        updates = values.slots[0]
        return (updates > 0) & (updates % self._every == 0)

    def _small(self, values: Values, grads: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        rows = tf.cast(tf.reduce_sum(weights), grads.dtype)
        factor = tf.math.divide_no_nan(tf.cast(self._plan.global_batch, rows.dtype), rows)
        return factor * self._squared(values, grads)

    def _squared(self, values: Values, grads: tf.Tensor) -> tf.Tensor:
        """|grads|², and that of the preconditioned ones where the optimizer has factors."""
        factors = preconditioner(self._optimizer, values.slots)
        kinds = [grads] if factors is None else [grads, grads * factors]
        return tf.stack([2 * tf.nn.l2_loss(each) for each in kinds])
