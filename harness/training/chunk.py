"""The compiled unit of training: a number of steps without Python in between."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import tensorflow as tf

from harness.cluster.strategy import Cluster
from harness.training.source import Source
from harness.training.state import State
from harness.training.step import Step
from harness.training.values import ChunkProgress, Values


@dataclass(frozen=True)
class ChunkResult:
    """Means over the steps of a chunk. `steps` is less than was asked for where a loss or gradient was not finite."""

    steps: int
    loss: float
    metrics: dict[str, Any]
    """The accuracy and others, by name; None for one that is not finite."""
    gradient_norm: float
    loss_scale: float | None = None
    """In float16: what the loss is multiplied by in the end."""
    norms: list[dict[str, float]] = field(default_factory=list)
    """What each measured step gives of the gradient noise scale, in order."""


class Steps(Protocol):
    """A way to take steps: stepwise.py, for any devices, or fused.py, for one device and XLA."""

    source: Source

    def whole(self, steps: int) -> int:
        """The number of steps near `steps` that costs nothing beside them; at least one."""

    def compile(self, values: Values) -> None:
        """Compile what takes the steps, and take none."""

    def take(self, values: Values, steps: int) -> tuple[Values, ChunkProgress, Any]:
        """The state `steps` later, how they fared, and what each measured of the noise scale, (steps, numbers)."""


class Chunk:
    """Calling it trains for some steps: variables are read when it begins and assigned when it ends."""

    def __init__(self, cluster: Cluster, state: State, step: Step, steps: Steps) -> None:
        self._cluster = cluster
        self._step = step
        self.steps = steps
        self.values = tf.function(lambda: cluster.strategy.run(state.values), autograph=False)
        self._assign = tf.function(lambda values: state.assign(cluster.strategy, values), autograph=False)

    def compile(self) -> None:
        """Compile everything that a call runs. Raises what TensorFlow raises where that can't be."""
        values = self.values()
        self.steps.compile(values)
        self._assign(values)

    def __call__(self, steps: int) -> ChunkResult:
        values, progress, record = self.steps.take(self.values(), steps)
        self._assign(values)
        values, progress = self._cluster.strategy.experimental_local_results((values, progress))[0]
        return self._result(values, progress, record)

    def _result(self, values: Values, progress: ChunkProgress, record: Any) -> ChunkResult:
        steps, (loss, *metrics, norm, updates) = int(progress.steps), progress.sums.numpy()
        examples = max(steps, 1) * self._step.train.global_batch
        return ChunkResult(
            steps,
            loss / examples,
            self._step.measures.means(metrics, examples),
            norm / max(updates, 1),
            float(values.loss_scale[0]) if values.loss_scale else None,
            [] if self._step.norms is None else self._step.norms.rows(record),
        )
