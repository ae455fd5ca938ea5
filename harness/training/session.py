"""One sitting of a run, from its start or a checkpoint: what the loop calls, with nothing decided about when."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from harness import provenance
from harness.cluster.collective import from_chief, sum_over_workers
from harness.cluster.strategy import Cluster
from harness.config import Config
from harness.data.sources import Split
from harness.errors import NonFiniteLoss, RunError
from harness.training.checkpoint import Checkpoint
from harness.training.chunk import Chunk
from harness.training.clock import Clock
from harness.training.evaluate import Evaluator
from harness.training.events import Events
from harness.training.state import State
from harness.training.stop import StopSignals
from harness.training.writers import Row, Writer

_CHUNK_SECONDS = 2.0


class Session:
    """Holds the step, and moves it: trains chunks, evaluates, saves, agrees with the other workers."""

    def __init__(
        self,
        config: Config,
        cluster: Cluster,
        events: Events,
        state: State,
        splits: tuple[Split, Split, Split],
        checkpoint: Checkpoint | None,
        signals: StopSignals,
    ) -> None:
        self.config = config
        self.cluster = cluster
        self.events = events
        self.state = state
        self.clock = Clock()
        self.writers: Sequence[Writer] = ()
        self.rows: dict[str, Row] = {}
        """The newest row of each split."""
        self.train_split, self._validation, self._test = splits
        self._signals = signals
        self.step = self._restore(checkpoint)
        self._last_save = time.monotonic()
        self._evaluator = Evaluator(cluster, state.result, config.evaluate.batch)
        with self.clock.compiling():
            self._chunk = Chunk(config, cluster, state, self.train_split, self.step)
            self._chunk(0)

    def train_chunk(self) -> None:
        """Train to the next event, or about two seconds. Raises NonFiniteLoss."""
        steps = min(self._steps_per_chunk, self.events.next_after(self.step) - self.step)
        with self.clock.training(steps):
            result = self._chunk(steps)
        self.step += result.steps
        if result.steps < steps:
            raise NonFiniteLoss(
                f"loss or gradient is not finite at step {self.step + 1:,} (examples {self._examples(self.step):,} to "
                f"{self._examples(self.step + 1):,}, learning rate {self._learning_rate(self.step):.3g}); its update "
                "was not applied: try a lower optimizer.learning_rate or a train.clip_norm"
            )
        self._write(
            step=self.step,
            split="train",
            loss=result.loss,
            accuracy=result.accuracy,
            learning_rate=self._learning_rate(self.step - 1),
            gradient_norm=result.gradient_norm,
            images_per_second=self.config.train.global_batch / self.clock.step_seconds,
            step_seconds=self.clock.step_seconds,
        )

    def evaluate(self) -> None:
        """Evaluate the validation rows, where there are any."""
        if len(self._validation):
            self._write(step=self.step, split="validation", **self._evaluator(self._validation))

    def test(self) -> None:
        """Evaluate the test set."""
        self._write(step=self.step, split="test", **self._evaluator(self._test))

    def write_histograms(self) -> None:
        for writer in self.writers:
            writer.histograms(self.step, self.state.result)

    def save(self) -> None:
        """Save the state, with what a resume and the choice of the best checkpoint need to know."""
        validation = self.rows.get("validation")
        header = {
            "identity": self.config.identity_hash(),
            "versions": provenance.versions(),
            "compile_seconds": self.clock.compile_seconds,
            "train_seconds": self.clock.train_seconds,
            "validation": validation if validation and validation["step"] == self.step else None,
        }
        for writer in self.writers:
            writer.save(self.step, self.state, header)
        self._last_save = time.monotonic()

    def save_is_due(self) -> bool:
        """Whether `checkpoint.every` is in minutes and these are over."""
        seconds = self.events.checkpoint_seconds
        return seconds is not None and time.monotonic() - self._last_save >= seconds

    def agree(self) -> int:
        """Let all workers take the same next chunk, its length at the chief's pace, and stop together.

        Returns the number of the signal that any of them received, 0 for none.
        """
        pace = self.clock.steps_in(_CHUNK_SECONDS) if self.cluster.is_chief else 0
        received = np.zeros(65, np.int64)
        received[self._signals.received] = 1
        pace, *counts = sum_over_workers(self.cluster, np.array([pace, *received]))
        self._steps_per_chunk = int(pace)
        return max(number for number, count in enumerate(counts) if count)

    def _restore(self, checkpoint: Checkpoint | None) -> int:
        """Give every worker the chief's checkpoint; returns its step, 0 without one."""
        header: dict[str, Any] = checkpoint.header if checkpoint else {"compile_seconds": 0.0, "train_seconds": 0.0}
        if header.get("validation"):
            self.rows["validation"] = header["validation"]
        numbers = np.array([checkpoint.step if checkpoint else 0, header["compile_seconds"], header["train_seconds"]])
        step, self.clock.compile_seconds, self.clock.train_seconds = from_chief(self.cluster, numbers).tolist()
        if step:
            arrays = checkpoint.arrays if checkpoint else {}
            variables = self.state.variables()
            odd = [p for p, v in variables.items() if checkpoint and getattr(arrays.get(p), "shape", None) != v.shape]
            if odd:
                raise RunError(f"the checkpoint of step {int(step):,} has no {odd[0]} that fits this model and data")
            for path, variable in variables.items():
                own = arrays[path] if self.cluster.is_chief else np.zeros(variable.shape, variable.dtype)
                variable.assign(from_chief(self.cluster, own))
        return int(step)

    def _write(self, **row: Any) -> None:
        self.rows[row["split"]] = row
        for writer in self.writers:
            writer.write(row)

    def _learning_rate(self, step: int) -> float:
        return float(self.state.learning_rate(tf.constant(step)))

    def _examples(self, step: int) -> int:
        return step * self.config.train.global_batch
