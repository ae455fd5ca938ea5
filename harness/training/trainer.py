"""The trainer: restore, compile, run, test. The same for one device, many replicas and many workers."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from harness.cluster.collective import from_chief, sum_over_workers
from harness.cluster.strategy import Cluster
from harness.errors import CallbackFailed, HarnessError, NonFiniteLoss, RunError, WorkerLost
from harness.stop_signals import StopSignals
from harness.training.callback import Callback, Callbacks, Row
from harness.training.checkpoint import Checkpoint, with_packed_moments
from harness.training.chunk import ChunkResult
from harness.training.clock import Clock
from harness.training.compile import compiled_chunk
from harness.training.early_stop import Patience
from harness.training.evaluate import Evaluator
from harness.training.metrics import in_evaluation
from harness.training.noise_scale import SPLIT as NOISE_SCALE
from harness.training.rows import Mirror, newest, without_images
from harness.training.setup import Setup
from harness.training.state import State, weights_sha256

_CHUNK_SECONDS = 2.0


class Skipped(NamedTuple):
    """How far the data of a run are ahead of its steps, after losses that were not finite."""

    skipped_steps: int = 0
    """Step s trains on the examples of step s + skipped_steps."""
    restores: int = 0
    """How often training went back to a checkpoint."""


class Agreement(NamedTuple):
    """What all workers do next."""

    pace: int
    """Steps in a chunk, as the chief's clock has it."""
    is_over: bool
    """Whether training has come to its end before its length: see `Trainer.ended_by`."""
    signal: int
    """The number of a signal that one of them received; 0 for none."""


class Trainer:
    """Moves a state from step to step: `restore` where there is a checkpoint, then `compile`, `run` and `test`."""

    def __init__(self, setup: Setup, cluster: Cluster, state: State) -> None:
        self.setup = setup
        self.cluster = cluster
        self.state = state
        self.step = 0
        self.skipped = Skipped()
        self.clock = Clock()
        self.rows: list[Row] = []
        self.recorded = 0
        """How many of the rows metrics.jsonl held when training was restored."""
        self.patience = Patience(setup.config.train.early_stop)
        self.evaluator = Evaluator(cluster, state.result, setup.config.evaluate.batch, in_evaluation(setup.config))
        self._failure: OSError | CallbackFailed | None = None

    def restore(self, checkpoint: Checkpoint | None, rows: Sequence[Row] = ()) -> None:
        """Give every worker the chief's checkpoint, with the rows up to it; without one all stay at step 0.

        Raises RunError where the checkpoint has not the variables of this model and data.
        """
        header: dict[str, Any] = checkpoint.header if checkpoint else {}
        self.rows, self.recorded = list(rows), len(rows)
        validation = header.get("validation")
        if validation and validation != newest(rows, "validation"):  # a row may be lost where a checkpoint is not
            self.rows.append(validation)
        self.patience = Patience(self.setup.config.train.early_stop, header.get("early_stop"))
        seconds = [header.get("compile_seconds", 0.0), header.get("train_seconds", 0.0)]
        skipped = [header.get(field, 0) for field in Skipped._fields]
        numbers = np.array([checkpoint.step if checkpoint else 0, *seconds, *skipped])
        step, self.clock.compile_seconds, self.clock.train_seconds, *skipped = from_chief(
            self.cluster, numbers
        ).tolist()
        self.step, self.skipped = int(step), Skipped(*map(int, skipped))
        if not self.step:
            return
        weights = self.state.model.trainable_variables
        arrays = with_packed_moments(checkpoint.arrays, weights) if checkpoint else {}
        variables = self.state.variables()
        missing = [p for p, v in variables.items() if checkpoint and getattr(arrays.get(p), "shape", None) != v.shape]
        if missing:
            raise RunError(f"the checkpoint of step {self.step:,} has no {missing[0]} that fits this model and data")
        for path, variable in variables.items():
            own = arrays[path] if self.cluster.is_chief else np.zeros(variable.shape, variable.dtype)
            variable.assign(from_chief(self.cluster, own))

    def skip_to(self, data_step: int, restores: int) -> None:
        """Go on with the examples of that step of the stream, after so many losses that were not finite."""
        self.skipped = Skipped(data_step - self.step, restores)

    def compile(self, warn: Callable[[str], None]) -> None:
        """Compile the chunk that trains from here on; `warn` is given a line for what it has to do without."""
        setup, first_step = self.setup, self.step + self.skipped.skipped_steps
        with self.clock.compiling():
            self._chunk = compiled_chunk(setup.config, self.cluster, self.state, setup.train, first_step, warn)

    def run(self, callbacks: Callbacks, signals: StopSignals) -> int:
        """Train to the end, the target or a signal. Returns the signal's number, 0 where there was none.

        Python runs only between chunks, and a chunk never crosses a step at which something is due. Every worker runs
        every line: what one of them alone does, such as writing, was decided when its callbacks were made.

        Raises NonFiniteLoss where a loss or gradient is not finite; the update of that step was not applied.
        """
        agreed = self._agree(signals)
        while self.step < self.setup.events.total_steps and not agreed.is_over and not agreed.signal:
            self._train_chunk(agreed.pace)
            self._call(callbacks.due(self.step))
            agreed = self._agree(signals)
        for callback in reversed(callbacks):  # what saves comes last among them, and first here
            with self._failing_together():
                callback.end(self.step, self.state, self.rows)
        return self._agree(signals).signal

    def test(self, callbacks: Callbacks, signals: StopSignals) -> int:
        """Evaluate the test set. Returns as `run` does."""
        self._add({"split": "test", **self.evaluator(self.setup.test)})
        for callback in callbacks.always_due():  # a resume would test again, and have what they return twice
            with self._failing_together():
                callback(self.step, self.state, self.rows)
        return self._agree(signals).signal

    def end_together(self, signals: StopSignals) -> None:
        """Wait for all workers, so that all end well, or none."""
        self._agree(signals)

    def ended_by(self) -> Literal["length", "target", "early_stop", "max_seconds"]:
        """What ends training where it stands now; "length" also where nothing does yet."""
        train = self.setup.config.train
        if self.setup.events.evaluate.includes(self.step):
            validation = newest(self.rows, "validation")
            if train.target and validation and validation["step"] == self.step and train.target.is_reached(validation):
                return "target"
            if self.patience.is_over():
                return "early_stop"
            if train.max_seconds and self.clock.train_seconds >= train.max_seconds:
                return "max_seconds"
        return "length"

    def check_equal_weights(self) -> str:
        """The SHA-256 of the weights. Raises HarnessError on every worker where one has others than the chief."""
        digest = weights_sha256(self.state.result)
        own = np.frombuffer(bytes.fromhex(digest), np.int32).astype(np.int64)
        differs = np.any(own != from_chief(self.cluster, own))
        if sum_over_workers(self.cluster, np.array(differs, np.int64)):
            raise HarnessError("the workers have ended with different weights, which must not happen: please report it")
        return digest

    def _train_chunk(self, pace: int) -> None:
        """Train to the next step at which something is due, or about two seconds. Raises NonFiniteLoss."""
        steps = min(self._chunk.steps.whole(pace), self.setup.events.next_after(self.step) - self.step)
        with self.clock.training(steps):
            result = self._chunk(steps)
        self.step += result.steps
        if result.steps < steps:
            raise self._not_finite()
        self.add_rows(result)

    def add_rows(self, result: ChunkResult) -> None:
        """The rows of a chunk that has brought training to where it stands."""
        taken = range(self.step - result.steps + 1, self.step + 1)
        measured = [step for step in taken if self.setup.events.measures_noise(step)]
        for step, norms in zip(measured, result.norms, strict=True):
            if all(map(math.isfinite, norms.values())):  # a square may overflow where the gradient did not
                self.rows.append({"step": step, "split": NOISE_SCALE, **norms})
        row = {
            "split": "train",
            "loss": result.loss,
            **result.metrics,
            "learning_rate": self._learning_rate(self.step - 1),
            "gradient_norm": result.gradient_norm,
            "images_per_second": self.setup.config.train.global_batch / self.clock.step_seconds,
            "step_seconds": self.clock.step_seconds,
        }
        self._add(row if result.loss_scale is None else row | {"loss_scale": result.loss_scale})

    def _not_finite(self) -> NonFiniteLoss:
        global_batch, data_step = self.setup.config.train.global_batch, self.step + self.skipped.skipped_steps
        first = data_step * global_batch
        return NonFiniteLoss(
            f"loss or gradient is not finite at step {self.step + 1:,} (examples {first:,} to "
            f"{first + global_batch - 1:,} of the stream, learning rate {self._learning_rate(self.step):.3g}); its "
            "update was not applied: try a lower optimizer.learning_rate or a train.clip_norm",
            data_step,
            self.skipped.restores,
        )

    def _call(self, callbacks: Iterable[Callback]) -> None:
        """Call them. After one has failed the rows are still passed on, and nothing else is done: a checkpoint would
        make a resume begin as if it had not."""
        before = len(self.rows)
        for callback in callbacks:
            if self._failure is None or isinstance(callback, Mirror):
                with self._failing_together():
                    if row := callback(self.step, self.state, self.rows):
                        self._add(row)
        self.rows[before:] = map(without_images, self.rows[before:])  # which are nothing to keep for the whole run

    @contextmanager
    def _failing_together(self) -> Iterator[None]:
        """Keep what this worker fails at until all can end with it: the others would wait for it in a collective."""
        try:
            yield
        except (OSError, CallbackFailed) as error:
            self._failure = self._failure or error

    def _add(self, row: Mapping[str, Any]) -> None:
        self.rows.append({"step": self.step, **row})

    def _agree(self, signals: StopSignals) -> Agreement:
        """Let all workers take the same next chunk, its length at the chief's pace, and stop or fail together.

        Where a callback of one of them has failed, that one raises what it failed with, and the others WorkerLost.
        """
        pace = self.clock.steps_in(_CHUNK_SECONDS) if self.cluster.is_chief else 0
        received = np.zeros(65, np.int64)
        received[signals.received] = 1
        over = self.cluster.is_chief and self.ended_by() != "length"
        word = np.array([self._failure is not None, pace, over, *received], np.int64)
        failed, pace, over, *counts = sum_over_workers(self.cluster, word).tolist()
        if self._failure is not None:
            raise self._failure
        if failed:
            raise WorkerLost("another worker has failed, as its own output says; all stop with it")
        return Agreement(pace, bool(over), max(number for number, count in enumerate(counts) if count))

    def _learning_rate(self, step: int) -> float:
        return float(self.state.learning_rate(tf.constant(step)))


class Evaluation(Callback):
    """Evaluates the validation rows, where there are any."""

    def __init__(self, trainer: Trainer) -> None:
        self._evaluator = trainer.evaluator
        self._split = trainer.setup.validation
        self._patience = trainer.patience

    def __call__(self, step: int, state: State, rows: Sequence[Row]) -> Row | None:
        if not len(self._split):
            return None
        result = self._evaluator(self._split)
        self._patience.add(result)
        return {"split": "validation", **result}
