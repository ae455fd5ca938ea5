"""Steps on any number of replicas: a compiled loop, each step of which is two halves around one all-reduce."""

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from harness.cluster.strategy import Cluster
from harness.data.pipeline import Batch, Rows
from harness.training.optimizer import all_reduce
from harness.training.source import Source, batch_of
from harness.training.step import Step
from harness.training.values import ChunkProgress, Values

# There is no Python control flow to convert in a step, and looking for some takes longer than tracing it.
_plain = tf.autograph.experimental.do_not_convert


class Stepwise:
    """The loop is traced once, since the number of steps is a tensor. With `jit` XLA compiles two programs, from batch
    to gradient and from gradient to the next state."""

    def __init__(self, cluster: Cluster, step: Step, source: Source, jit: bool, rehearse: bool) -> None:
        """`rehearse`: whether kernels may be missing, which shows only when a step is run."""
        self._cluster = cluster
        self.source = source
        self._step = step
        self._gradients = _function(self._of_batch, jit)
        self._update = _function(step.update, jit)
        self._rehearsed = int(rehearse)
        self.batches = source.batches()
        self.compiled = tf.function(self._loop)

    def whole(self, steps: int) -> int:
        return steps

    def compile(self, values: Values) -> None:
        stream = self.source.batches() if self._rehearsed else self.batches
        self.compiled(stream, self.source.data, values, tf.constant(self._rehearsed), tf.constant(False))

    def take(self, values: Values, steps: int) -> tuple[Values, ChunkProgress, Any]:
        given = (self.batches, self.source.data, values, tf.constant(steps), tf.constant(True))
        values, progress, record = self.compiled(*given)
        return values, progress, record.numpy()

    def _loop(
        self, batches: Iterator[Any], data: Any, values: Values, steps: tf.Tensor, live: tf.Tensor
    ) -> tuple[Values, ChunkProgress, tf.Tensor]:
        run, micro_batches = self._cluster.strategy.run, self.source.plan.micro_batches
        progress = run(_plain(self._step.started))
        record = tf.TensorArray(self._step.packing.dtype, size=steps, element_shape=[self._step.numbers_measured])
        for number in tf.range(steps):
            if micro_batches == 1:
                share, other = run(self._gradients, args=(values, values.other, data, self._cluster.next(batches)))
            else:
                share, other = run(self._step.zeros, args=(values,))
                for _ in tf.range(micro_batches):
                    # One after another: side by side, which nothing else forbids, they would need more memory.
                    tf.autograph.experimental.set_loop_options(parallel_iterations=1)
                    share, other = run(self._added, args=(share, values, other, data, self._cluster.next(batches)))
            values, progress, measured = run(_plain(self._updated), args=(values, other, progress, share, live))
            record = record.write(number, self._cluster.strategy.experimental_local_results(measured)[0])
        return values, progress, record.stack()

    def _of_batch(self, values: Values, other: Any, data: Any, element: Batch | Rows) -> tuple[tf.Tensor, Any]:
        return self._step.gradients(values._replace(other=other), batch_of(data, element))

    def _added(self, share: tf.Tensor, *given: Any) -> tuple[tf.Tensor, Any]:
        more, other = self._gradients(*given)
        return share + more, other

    def _updated(
        self, values: Values, other: Any, progress: ChunkProgress, share: tf.Tensor, live: tf.Tensor
    ) -> tuple[Values, ChunkProgress, tf.Tensor]:
        after: tuple[Values, ChunkProgress, tf.Tensor] = self._update(values, other, progress, all_reduce(share), live)
        return after


def _function(of: Callable[..., Any], jit: bool) -> Callable[..., Any]:
    plain: Callable[..., Any] = _plain(of)
    return tf.function(plain, jit_compile=True) if jit else plain
