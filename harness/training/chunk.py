"""The compiled unit of training: a number of steps without Python in between."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import tensorflow as tf

from harness.cluster.batch import BatchPlan
from harness.cluster.strategy import Cluster
from harness.config import Config
from harness.data.pipeline import training_batches
from harness.data.shift import offsets, shift
from harness.data.sources import Split
from harness.training.events import Events
from harness.training.gradient_norms import GradientNorms, Gradients
from harness.training.optimizer import all_reduce, clip
from harness.training.state import State
from harness.training.step import Batch, gradients


@dataclass(frozen=True)
class ChunkResult:
    """Means over the finite steps of a chunk. `steps` is less than was asked for where a loss or gradient was not."""

    steps: int
    loss: float
    accuracy: float
    gradient_norm: float
    norms: list[dict[str, float]] = field(default_factory=list)
    """What each measured step gives of the gradient noise scale, in order."""


class Chunk:
    """Calling it trains for some steps. It is traced once, since the number of steps is a tensor."""

    def __init__(self, config: Config, cluster: Cluster, state: State, train: Split, first_step: int) -> None:
        self._cluster = cluster
        self._state = state
        self._plan = BatchPlan.of(config.train, cluster.replicas)
        smoothing = config.train.label_smoothing
        of_batch = partial(gradients, state.model, global_batch=self._plan.global_batch, smoothing=smoothing)
        self._gradients = _compiled(of_batch, config.train.jit)
        measure_every = Events.of(config, len(train)).noise_scale
        self._norms = GradientNorms(self._plan, state.optimizer, measure_every) if measure_every else None
        if self._norms is not None:
            self._gradients = self._norms.measuring(self._gradients)
        self._clip_norm = config.train.clip_norm
        self._ema = config.train.ema
        self._augment = partial(_shifted, seed=config.seed, pixels=config.data.shift) if config.data.shift else None
        self._batches: Iterator[Any] = iter(
            cluster.distribute(lambda context: training_batches(train, config.seed, self._plan, first_step, context))
        )
        self.compiled = tf.function(self._steps)

    def __call__(self, steps: int) -> ChunkResult:
        done, sums, record = self.compiled(self._batches, tf.constant(steps, tf.int64))
        done, (loss, correct, norm) = int(done), sums.numpy()
        examples = max(done, 1) * self._plan.global_batch
        norms = self._norms.rows(record.numpy()) if self._norms is not None else []
        return ChunkResult(done, loss / examples, correct / examples, norm / max(done, 1), norms)

    def _steps(self, batches: Iterator[Any], steps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, Any]:
        strategy = self._cluster.strategy
        done, finite = tf.constant(0, tf.int64), tf.constant(True)
        totals = tf.zeros([3], tf.float64)
        record: Any = () if self._norms is None else self._norms.record(self._state.model.outputs[0].dtype)
        while done < steps and finite:
            grads, sums = strategy.run(all_reduce, args=self._unreduced_gradients(batches))
            grads_here, sums_here = strategy.experimental_local_results((grads, sums))[0]
            norm = tf.linalg.global_norm(grads_here)
            finite = tf.math.is_finite(norm) & tf.math.is_finite(sums_here[0])
            if finite:
                if self._norms is not None:
                    record = self._norms.recorded(record, grads_here, sums_here[2:])
                strategy.run(self._update, args=(grads, norm))
                if self._ema is not None:
                    self._state.update_average(strategy, self._ema)
                totals += tf.cast(tf.concat([sums_here[:2], [norm]], axis=0), tf.float64)
                done += 1
        return done, totals, () if self._norms is None else record.stack()

    def _unreduced_gradients(self, batches: Iterator[Any]) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Each replica's gradients and sums, added up over its micro-batches."""
        strategy = self._cluster.strategy
        if self._plan.micro_batches == 1:
            grads, sums = strategy.run(self._of_micro_batch, args=(next(batches),))
            return grads, sums
        grads, sums = strategy.run(self._zeros)
        for _ in tf.range(self._plan.micro_batches):
            # One after another: side by side, which nothing else forbids, they would need the memory of several.
            tf.autograph.experimental.set_loop_options(parallel_iterations=1)
            grads, sums = strategy.run(self._added, args=(grads, sums, next(batches)))
        return grads, sums

    def _of_micro_batch(self, rows: tuple[tf.Tensor, ...]) -> tuple[list[tf.Tensor], tf.Tensor]:
        batch = Batch(*rows)
        if self._augment is not None:
            batch = batch._replace(images=self._augment(batch.images, batch.positions))
        return self._gradients(batch)

    def _zeros(self) -> tuple[list[tf.Tensor], tf.Tensor]:
        variables = self._state.model.trainable_variables
        scalars = 2 if self._norms is None else 2 + len(self._norms.kinds)
        return [tf.zeros(v.shape, v.dtype) for v in variables], tf.zeros([scalars], self._state.model.outputs[0].dtype)

    def _added(
        self, grads: list[tf.Tensor], sums: tf.Tensor, batch: tuple[tf.Tensor, ...]
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        more_grads, more_sums = self._of_micro_batch(batch)
        return [grad + more for grad, more in zip(grads, more_grads, strict=True)], sums + more_sums

    def _update(self, grads: list[tf.Tensor], norm: tf.Tensor) -> None:
        if self._clip_norm is not None:
            grads = clip(grads, norm, self._clip_norm)
        self._state.optimizer.apply(grads, self._state.model.trainable_variables)


def _compiled(function: Gradients, jit: Literal["auto", "on", "off"]) -> Gradients:
    """The function compiled by XLA where `train.jit` says so. `auto` leaves CPUs out, as it halves their speed."""
    on = bool(tf.config.get_visible_devices("GPU")) if jit == "auto" else jit == "on"
    return tf.function(function, jit_compile=True) if on else function


def _shifted(images: tf.Tensor, positions: tf.Tensor, seed: int, pixels: int) -> tf.Tensor:
    return shift(images, offsets(positions, seed, pixels))
