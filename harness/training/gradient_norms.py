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
from harness.training.optimizer import preconditioner
from harness.training.step import Batch

Gradients = Callable[[Batch], tuple[list[tf.Tensor], tf.Tensor]]
"""A replica's micro-batch → its share of the gradients, and a vector of scalars to be summed likewise."""

_Norms = Callable[[list[tf.Tensor], tf.Tensor], tf.Tensor]


class GradientNorms:
    """Measures every step behind `every`, 2·`every`, … updates. Nothing here looks across replicas."""

    def __init__(self, plan: BatchPlan, optimizer: keras.optimizers.Optimizer, every: int) -> None:
        self._plan = plan
        self._optimizer = optimizer
        self._every = every
        adaptive = isinstance(optimizer, keras.optimizers.Adam)
        self.kinds = ("sq", "sq_preconditioned") if adaptive else ("sq",)
        """The norms taken of each gradient."""

    def measuring(self, gradients: Gradients) -> Gradients:
        """`gradients`, with this micro-batch's part of small_sq, a scalar per kind, behind its scalars.

        In a step that is not measured these are 0, and cost nothing.
        """

        def extended(batch: Batch, norms: _Norms) -> tuple[list[tf.Tensor], tf.Tensor]:
            grads, sums = gradients(batch)
            return grads, tf.concat([sums, norms(grads, batch.weights)], axis=0)

        def of_piece(batch: Batch) -> tuple[list[tf.Tensor], tf.Tensor]:
            return extended(batch, self._small_if_due)

        def of_halves(batch: Batch) -> tuple[list[tf.Tensor], tf.Tensor]:
            middle = -(-self._plan.global_batch // 2)
            grads, sums = extended(Batch(*(part[:middle] for part in batch)), self._small)
            more_grads, more_sums = extended(Batch(*(part[middle:] for part in batch)), self._small)
            return [grad + more for grad, more in zip(grads, more_grads, strict=True)], sums + more_sums

        def of_batch(batch: Batch) -> tuple[list[tf.Tensor], tf.Tensor]:
            grads, sums = tf.cond(self._is_due(), lambda: of_halves(batch), lambda: extended(batch, self._nothing))
            return grads, sums

        return of_piece if self._plan.pieces > 1 else of_batch

    def record(self, dtype: tf.DType) -> tf.TensorArray:
        """Where the loop keeps what it measures, in no more memory than that takes."""
        return tf.TensorArray(dtype, size=0, dynamic_size=True, element_shape=[2 * len(self.kinds)])

    def recorded(self, record: tf.TensorArray, grads: list[tf.Tensor], small: tf.Tensor) -> tf.TensorArray:
        """The record with this step in it, if it is measured: to be called before the update.

        Args:
            record: so far.
            grads: the reduced gradients, before clipping.
            small: the reduced scalars that `measuring` appends.
        """
        return tf.cond(
            self._is_due(),
            lambda: record.write(record.size(), tf.concat([small, self._squared(grads)], axis=0)),
            lambda: record,
        )

    def rows(self, record: Any) -> list[dict[str, float]]:
        """For each measured step of a stacked record: the two batch sizes, and the norms by name."""
        names = [f"{size}_{kind}" for size in ("small", "big") for kind in self.kinds]
        batches = {"small_batch": self._plan.global_batch / self._pieces, "big_batch": self._plan.global_batch}
        return [batches | dict(zip(names, values, strict=True)) for values in record.tolist()]

    @property
    def _pieces(self) -> int:
        return max(2, self._plan.pieces)

    def _is_due(self) -> tf.Tensor:
        updates = self._optimizer.iterations.value
        return (updates > 0) & (updates % self._every == 0)

    def _small(self, grads: list[tf.Tensor], weights: tf.Tensor) -> tf.Tensor:
        rows = tf.cast(tf.reduce_sum(weights), grads[0].dtype)
        return tf.math.divide_no_nan(tf.cast(self._plan.global_batch, rows.dtype), rows) * self._squared(grads)

    def _nothing(self, grads: list[tf.Tensor], weights: tf.Tensor) -> tf.Tensor:
        return tf.zeros([len(self.kinds)], grads[0].dtype)

    def _small_if_due(self, grads: list[tf.Tensor], weights: tf.Tensor) -> tf.Tensor:
        return tf.cond(self._is_due(), lambda: self._small(grads, weights), lambda: self._nothing(grads, weights))

    def _squared(self, grads: list[tf.Tensor]) -> tf.Tensor:
        """|grads|², and that of the preconditioned ones where the optimizer has factors."""
        norms = [_squared_norm(grads)]
        factors = preconditioner(self._optimizer)
        if factors is not None:
            norms.append(_squared_norm([grad * factor for grad, factor in zip(grads, factors, strict=True)]))
        return tf.stack(norms)


def _squared_norm(tensors: list[tf.Tensor]) -> tf.Tensor:
    return 2 * sum(tf.nn.l2_loss(tensor) for tensor in tensors)
