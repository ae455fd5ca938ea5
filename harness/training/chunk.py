"""The compiled unit of training: a number of steps without Python in between."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import tensorflow as tf

from harness.cluster.batch import BatchPlan
from harness.cluster.strategy import Cluster
from harness.config import Config
from harness.data.pipeline import training_batches
from harness.data.shift import offsets, shift
from harness.data.sources import Split
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


class Chunk:
    """Calling it trains for some steps. It is traced once, since the number of steps is a tensor."""

    def __init__(self, config: Config, cluster: Cluster, state: State, train: Split, first_step: int) -> None:
        self._cluster = cluster
        self._state = state
        self._plan = BatchPlan.of(config.train, cluster.replicas)
        self._smoothing = config.train.label_smoothing
        self._clip_norm = config.train.clip_norm
        self._ema = config.train.ema
        self._augment = partial(_shifted, seed=config.seed, pixels=config.data.shift) if config.data.shift else None
        self._batches: Iterator[Any] = iter(
            cluster.distribute(lambda context: training_batches(train, config.seed, self._plan, first_step, context))
        )
        self.compiled = tf.function(self._steps)

    def __call__(self, steps: int) -> ChunkResult:
        done, sums = self.compiled(self._batches, tf.constant(steps, tf.int64))
        done, (loss, correct, norm) = int(done), sums.numpy()
        examples = max(done, 1) * self._plan.global_batch
        return ChunkResult(done, loss / examples, correct / examples, norm / max(done, 1))

    def _steps(self, batches: Iterator[Any], steps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        strategy = self._cluster.strategy
        done, finite = tf.constant(0, tf.int64), tf.constant(True)
        totals = tf.zeros([3], tf.float64)
        while done < steps and finite:
            grads, sums = strategy.run(self._reduced_gradients, args=(next(batches),))
            grads_here, sums_here = strategy.experimental_local_results((grads, sums))[0]
            norm = tf.linalg.global_norm(grads_here)
            finite = tf.math.is_finite(norm) & tf.math.is_finite(sums_here[0])
            if finite:
                strategy.run(self._update, args=(grads, norm))
                if self._ema is not None:
                    self._state.update_average(strategy, self._ema)
                totals += tf.cast(tf.concat([sums_here, [norm]], axis=0), tf.float64)
                done += 1
        return done, totals

    def _reduced_gradients(self, batch: tuple[tf.Tensor, ...]) -> tuple[list[tf.Tensor], tf.Tensor]:
        grads, sums = gradients(self._state.model, Batch(*batch), self._plan, self._smoothing, self._augment)
        return all_reduce(grads, sums)

    def _update(self, grads: list[tf.Tensor], norm: tf.Tensor) -> None:
        if self._clip_norm is not None:
            grads = clip(grads, norm, self._clip_norm)
        self._state.optimizer.apply(grads, self._state.model.trainable_variables)


def _shifted(images: tf.Tensor, positions: tf.Tensor, seed: int, pixels: int) -> tf.Tensor:
    return shift(images, offsets(positions, seed, pixels))
