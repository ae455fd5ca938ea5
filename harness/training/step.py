"""A step of training as pure functions: (state, batch) → gradients, and (state, gradients) → state.

Each replica's gradient is that of its examples' summed loss divided by the *global* batch B, so with g_r from replica r

    g = Σ_r g_r = 1/B · Σ_i ∇loss_i

is the gradient of the mean loss over the whole batch whatever the number of replicas. A penalty on the weights counts
once, as each replica takes the share of it that its examples are of the batch. Clipping looks at |g|, which no replica
knows before the sum; so it comes after.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import keras
import tensorflow as tf

from harness.config.train import TrainSection
from harness.data.pipeline import Batch
from harness.data.random import bits
from harness.keras_internals import as_one_batch, max_pooling_by
from harness.training import loss_scale
from harness.training.gradient_norms import GradientNorms
from harness.training.metrics import Measures
from harness.training.optimizer import UpdateRule, clip
from harness.training.packing import Packing
from harness.training.pooling import strided_max_pool
from harness.training.values import ChunkProgress, Values, floats

_FIRST_STREAM, _STREAMS_A_LAYER = 1000, 1000
"""Of the run's random numbers, those that layers draw."""

_PLAIN = Measures()


def gradients(
    model: keras.Model,
    weights: list[tf.Tensor],
    other: list[tf.Tensor],
    batch: Batch,
    global_batch: int,
    measures: Measures = _PLAIN,
    scale: tf.Tensor | None = None,
    seed: int = 0,
) -> tuple[list[tf.Tensor], tf.Tensor, list[tf.Tensor]]:
    """The batch's share of the gradient of the mean loss over `global_batch` examples, and what goes with it.

    Args:
        model: for its layers alone; its variables are neither read nor changed.
        weights, other: values of its trainable and its other variables.
        scale: by which the loss is multiplied on the way to the gradient, and the gradient divided in the end.
        seed: of what random layers draw, together with the examples' positions.

    Returns:
        Gradients in the weights' shapes and dtype, [Σ loss, Σ of each metric] in that dtype, and the new values of
        `other`. No reduction over replicas, but in a BatchNormalization. XLA can compile it, on one replica in any
        case.
    """

    def drawn(layer: int, draw: int, numbers: int) -> tf.Tensor:
        counter = batch.positions[:, None] * numbers + tf.range(numbers, dtype=tf.int64)
        return bits(seed, _FIRST_STREAM + _STREAMS_A_LAYER * layer + draw, counter)

    with tf.GradientTape() as tape, as_one_batch(model, batch.weights, drawn):
        tape.watch(weights)
        logits, other, penalties = model.stateless_call(
            weights, other, tf.cast(batch.images, model.inputs[0].dtype), training=True, return_losses=True
        )
        labelled = [(labels, tf.cast(counts, logits.dtype)) for labels, counts in batch.labelled()]
        loss_sum = tf.add_n([measures.loss_sum(logits, labels, counts) for labels, counts in labelled])
        objective = loss_sum / global_batch
        if penalties:
            examples = tf.reduce_sum(tf.cast(batch.weights, logits.dtype))
            objective += examples / global_batch * tf.cast(tf.add_n(penalties), logits.dtype)
        if scale is not None:
            objective *= tf.cast(scale, objective.dtype)
    metrics = tf.add_n([measures.sums(logits, labels, counts) for labels, counts in labelled])
    sums = tf.concat([[loss_sum], metrics], axis=0)
    grads = tape.gradient(objective, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    if scale is not None:
        grads = [grad / tf.cast(scale, grad.dtype) for grad in grads]
    return grads, sums, other


@dataclass(frozen=True)
class Step:
    """The arithmetic of one step. Nothing in it holds a value of the training state."""

    model: keras.Model
    update_rule: UpdateRule
    packing: Packing
    train: TrainSection
    measures: Measures
    norms: GradientNorms | None
    augment: Callable[[Batch], Batch]
    seed: int
    """Of the run."""
    jit: bool
    """Whether XLA compiles it, and max pooling has to be such that XLA has a deterministic gradient of it."""
    has_branches: bool
    """Whether an update that is not to be made isn't computed: on a GPU a branch would wait for the host."""

    @property
    def numbers_measured(self) -> int:
        """Of the gradient noise scale, in a step."""
        return 0 if self.norms is None else self.norms.numbers

    @property
    def _sums(self) -> int:
        """Σ loss and Σ of each metric, which ride behind the gradient."""
        return 1 + len(self.measures.metrics)

    def started(self) -> ChunkProgress:
        """How a chunk fares that has taken no step."""
        return ChunkProgress.start(self._sums)

    def zeros(self, values: Values) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """What `gradients` would give of no examples, for adding up micro-batches."""
        scalars = self._sums if self.norms is None else self._sums + len(self.norms.kinds)
        return tf.zeros([self.packing.size + scalars], self.packing.dtype), values.other

    def gradients(self, values: Values, batch: Batch) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """A replica's share, of one micro-batch: gradient and sums as one vector, and the new `values.other`."""
        share = self._share if self.norms is None else self.norms.measuring(self._share)
        return share(values, self.augment(batch))

    def update(
        self, values: Values, other: list[tf.Tensor], progress: ChunkProgress, reduced: tf.Tensor, live: tf.Tensor
    ) -> tuple[Values, ChunkProgress, tf.Tensor]:
        """The state after the step, and what it measured of the gradient noise scale, in a vector.

        Args:
            values: the state before.
            other: what `gradients` made of `values.other`.
            progress: of the chunk, before.
            reduced: what `gradients` gave, summed over micro-batches and replicas.
            live: () bool; where it is false, nothing changes.
        """
        grads, sums = reduced[: self.packing.size], reduced[self.packing.size :]
        norm = tf.linalg.global_norm([grads])
        finite = tf.math.is_finite(norm) & tf.math.is_finite(sums[0])
        is_taken = live & progress.healthy & (finite | self._may_skip(values, sums[0]))
        is_updated = is_taken & finite

        def updated() -> Values:
            clipped = grads if self.train.clip_norm is None else clip(grads, norm, self.train.clip_norm)
            weights, slots = self.update_rule.apply(values.slots, clipped, values.weights)
            averaged = [weights, *floats(other)] if values.average else []
            average = [self._averaged(*pair, slots[0]) for pair in zip(values.average, averaged, strict=True)]
            return values._replace(weights=weights, other=other, slots=slots, average=average)

        after = self._after(is_updated, updated, values)
        if values.loss_scale:
            # Learning rates go by the steps, and do not wait for one that was skipped.
            slots = [values.slots[0] + tf.cast(is_taken, values.slots[0].dtype), *after.slots[1:]]
            after = after._replace(slots=slots, loss_scale=loss_scale.after(values.loss_scale, finite, is_taken))
        counts = tf.concat([sums[: self._sums], [norm, tf.ones_like(norm)]], axis=0)
        counted = tf.stack([*[is_taken] * self._sums, is_updated, is_updated])
        return (
            after,
            ChunkProgress(
                progress.healthy & (is_taken | ~live),
                progress.steps + tf.cast(is_taken, tf.int64),
                progress.sums + tf.cast(tf.where(counted, counts, tf.zeros_like(counts)), tf.float64),
            ),
            self._measured(values, grads, sums[self._sums :], is_taken),
        )

    def _after(self, is_updated: tf.Tensor, updated: Callable[[], Values], values: Values) -> Values:
        """The updated values, or those from before."""
        if self.has_branches:
            return Values(*tf.cond(is_updated, updated, lambda: values))
        return Values(*tf.nest.map_structure(lambda new, old: tf.where(is_updated, new, old), updated(), values))

    def _may_skip(self, values: Values, loss: tf.Tensor) -> tf.Tensor:
        """Whether a gradient that is not finite is the loss scale's fault: there is a smaller one, and the loss is."""
        if not values.loss_scale:
            return tf.constant(False)
        return tf.math.is_finite(loss) & (values.loss_scale[0] > 1)

    def _share(self, values: Values, batch: Batch) -> tuple[tf.Tensor, list[tf.Tensor]]:
        given = (self.packing.unpack(values.weights), values.other, batch, self.train.global_batch)
        scale = values.loss_scale[0] if values.loss_scale else None
        with max_pooling_by(strided_max_pool) if self.jit else nullcontext():
            grads, sums, other = gradients(self.model, *given, self.measures, scale, self.seed)
        return tf.concat([self.packing.pack(grads), tf.cast(sums, self.packing.dtype)], axis=0), other

    def _measured(self, values: Values, grads: tf.Tensor, small: tf.Tensor, is_taken: tf.Tensor) -> tf.Tensor:
        if self.norms is None:
            return tf.zeros([0], grads.dtype)
        return self.norms.of_step(values, grads, small, is_taken)

    def _averaged(self, average: tf.Tensor, weights: tf.Tensor, updates: tf.Tensor) -> tf.Tensor:
        """a ← d·a + (1 - d)·w with d = min(decay, (1 + t)/(10 + t)) after the update of step t (1-based), so that the
        initial weights are soon forgotten."""
        t = tf.cast(updates, tf.float32)
        decay = tf.cast(tf.minimum(self.train.ema, (1 + t) / (10 + t)), average.dtype)
        return average + (1 - decay) * (weights - average)
