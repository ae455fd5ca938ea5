"""Steps on one device with XLA: a block of steps is one program, from rows or batches to the state after them."""

from typing import Any

import numpy as np
import tensorflow as tf

from harness.cluster.strategy import Cluster
from harness.data.pipeline import Batch, Rows
from harness.training.source import Source, batch_of
from harness.training.step import Step
from harness.training.values import ChunkProgress, Values


class Fused:
    """A block has the same number of steps always, as XLA on a GPU would ask the host before each step of a loop whose
    length it does not know. So a block that an event cuts is run again for its rest; outside of what is wanted of it
    the state stands still.

    Python starts the blocks of a chunk one behind the other, and waits for none of them.
    """

    def __init__(self, cluster: Cluster, step: Step, source: Source) -> None:
        assert source.block is not None
        self._strategy = cluster.strategy
        self._step = step
        self.source = source
        self._steps = source.block
        self._batches = source.batches()
        self._block = next(self._batches)
        self._taken = 0
        """Steps of the block that are taken already."""
        self.program = tf.function(self._of_block, jit_compile=True, autograph=False)

    def whole(self, steps: int) -> int:
        rest = self._steps - self._taken or self._steps
        return rest + max(0, round((steps - rest) / self._steps)) * self._steps

    def compile(self, values: Values) -> None:
        self._run(values, self.started(), 0, 0)

    def take(self, values: Values, steps: int) -> tuple[Values, ChunkProgress, Any]:
        progress, records = self.started(), [np.zeros([0, self._step.numbers_measured])]
        while steps:
            if self._taken == self._steps:
                self._block, self._taken = next(self._batches), 0
            end = min(self._taken + steps, self._steps)
            values, progress, measured = self._run(values, progress, self._taken, end)
            if self._step.norms is not None:
                records.append(measured)
            steps -= end - self._taken
            self._taken = end
        return values, progress, np.concatenate(records)

    def started(self) -> ChunkProgress:
        """How a chunk fares that has taken no step."""
        progress: ChunkProgress = self._strategy.run(self._step.started)
        return progress

    def _run(
        self, values: Values, progress: ChunkProgress, begin: int, end: int
    ) -> tuple[Values, ChunkProgress, tf.Tensor]:
        with tf.device("CPU"):
            wanted = tf.constant([begin, end])
        given = (values, progress, self.source.data, self._block, wanted)
        return self._strategy.run(self.program, args=given)  # type: ignore[no-any-return]

    def _of_block(
        self, values: Values, progress: ChunkProgress, data: Any, block: Batch | Rows, wanted: tf.Tensor
    ) -> tuple[Values, ChunkProgress, tf.Tensor]:
        micro_batches = self.source.plan.micro_batches

        def micro_batch(step: tf.Tensor, index: Any) -> Batch:
            return batch_of(data, tf.nest.map_structure(lambda part: part[step, index], block))

        def gradients(step: tf.Tensor, values: Values) -> tuple[tf.Tensor, list[tf.Tensor]]:
            def add(index: tf.Tensor, share: tf.Tensor, other: list[tf.Tensor]) -> Any:
                more, other = self._step.gradients(values._replace(other=other), micro_batch(step, index))
                return index + 1, share + more, other

            if micro_batches == 1:
                return self._step.gradients(values, micro_batch(step, 0))
            share, other = self._step.zeros(values)
            _, share, other = tf.while_loop(
                lambda index, *_: index < micro_batches, add, (tf.constant(0), share, other), parallel_iterations=1
            )
            return share, other

        def take(step: tf.Tensor, values: Values, progress: ChunkProgress, record: tf.TensorArray) -> Any:
            share, other = gradients(step, values)
            live = (step >= wanted[0]) & (step < wanted[1])
            values, progress, measured = self._step.update(values, other, progress, share, live)
            return step + 1, values, progress, record.write(step, measured)

        record = tf.TensorArray(self._step.packing.dtype, size=self._steps, element_shape=[self._step.numbers_measured])
        _, values, progress, record = tf.while_loop(
            lambda step, *_: step < self._steps,
            take,
            (tf.constant(0), values, progress, record),
            parallel_iterations=1,
        )
        return values, progress, record.stack()
