"""One sitting of a run, from its start or a checkpoint: what the loop calls, with nothing decided about when."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from harness.cluster.collective import from_chief, sum_over_workers
from harness.cluster.heartbeat import Heartbeat
from harness.cluster.strategy import Cluster, describe_device
from harness.config import Config
from harness.data.sources import Split
from harness.errors import CallbackFailed, HarnessError, NonFiniteLoss, RunError, WorkerLost
from harness.runs import provenance
from harness.stop_signals import StopSignals
from harness.training.checkpoint import Checkpoint, with_packed_moments
from harness.training.clock import Clock
from harness.training.compile import compiled_chunk
from harness.training.early_stop import Patience
from harness.training.evaluate import Evaluator
from harness.training.events import Events
from harness.training.metrics import in_evaluation
from harness.training.noise_scale import SPLIT as NOISE_SCALE
from harness.training.state import State, weights_sha256
from harness.training.writers import Row, Writer

_CHUNK_SECONDS = 2.0


class Detour(NamedTuple):
    """How far the data of a run are ahead of its steps, after it went back from losses that were not finite."""

    skipped_steps: int = 0
    """Step s trains on the examples of step s + skipped_steps."""
    restores: int = 0
    """How often it went back."""


class Session:
    """Holds the step, and moves it: trains chunks, evaluates, saves, agrees with the other workers.

    It begins at `checkpoint`, or at step 0; with the data behind that of `around`, a loss that was not finite. Raises
    RunError where the checkpoint has not the variables of this model and data.
    """

    def __init__(
        self,
        config: Config,
        cluster: Cluster,
        events: Events,
        state: State,
        splits: tuple[Split, Split, Split],
        checkpoint: Checkpoint | None,
        around: NonFiniteLoss | None,
        signals: StopSignals,
        heartbeat: Heartbeat,
        warn: Callable[[str], None],
        data_sha256: str = "",
    ) -> None:
        self.config = config
        self.cluster = cluster
        self.events = events
        self.state = state
        self.data_sha256 = data_sha256
        self.clock = Clock()
        self.writers: Sequence[Writer] = ()
        self.rows: dict[str, Row] = {}
        """The newest row of each split."""
        self.train_split, self.validation_split, self._test = splits
        self._signals = signals
        self._heartbeat = heartbeat
        self._failure: OSError | CallbackFailed | None = None
        self.step, self.detour = self._restore(checkpoint)
        if around is not None:
            self.detour = Detour(around.data_step + 1 - self.step, around.restores + 1)
        self._last_save = time.monotonic()
        known = checkpoint.header.get("early_stop") if checkpoint else None
        self._patience = Patience(config.train.early_stop, known)
        self._evaluator = Evaluator(cluster, state.result, config.evaluate.batch, in_evaluation(config))
        with self.clock.compiling():
            first_step = self.step + self.detour.skipped_steps
            self._chunk = compiled_chunk(config, cluster, state, self.train_split, first_step, warn)

    def train_chunk(self) -> None:
        """Train to the next event, or about two seconds. Raises NonFiniteLoss."""
        steps = min(self._chunk.steps.whole(self._steps_per_chunk), self.events.next_after(self.step) - self.step)
        with self.clock.training(steps):
            result = self._chunk(steps)
        self.step += result.steps
        if result.steps < steps:
            first = (self.step + self.detour.skipped_steps) * self.config.train.global_batch
            raise NonFiniteLoss(
                f"loss or gradient is not finite at step {self.step + 1:,} (examples {first:,} to "
                f"{first + self.config.train.global_batch - 1:,} of the stream, learning rate "
                f"{self._learning_rate(self.step):.3g}); its update was not applied: try a lower "
                "optimizer.learning_rate or a train.clip_norm",
                self.step + self.detour.skipped_steps,
                self.detour.restores,
            )
        taken = range(self.step - steps + 1, self.step + 1)
        measured = [step for step in taken if self.events.measures_noise(step)]
        for step, norms in zip(measured, result.norms, strict=True):
            if all(map(math.isfinite, norms.values())):  # a square may overflow where the gradient did not
                self._write(step=step, split=NOISE_SCALE, **norms)
        self._write(
            step=self.step,
            split="train",
            loss=result.loss,
            **result.metrics,
            learning_rate=self._learning_rate(self.step - 1),
            gradient_norm=result.gradient_norm,
            images_per_second=self.config.train.global_batch / self.clock.step_seconds,
            step_seconds=self.clock.step_seconds,
            **({} if result.loss_scale is None else {"loss_scale": result.loss_scale}),
        )

    def evaluate(self) -> None:
        """Evaluate the validation rows, where there are any."""
        if len(self.validation_split):
            self._write(step=self.step, split="validation", **self._evaluator(self.validation_split))
            self._patience.add(self.rows["validation"])
            self._heartbeat.beat()
        if self.ended_by() == "target":
            with self._failing_later():
                for writer in self.writers:
                    writer.reached_target(self.step)

    def test(self) -> None:
        """Evaluate the test set."""
        self._write(step=self.step, split="test", **self._evaluator(self._test))

    def call_back(self) -> None:
        """Call the user's own callbacks that are due, and write what they give."""
        with self._failing_later():
            for row in [row for writer in self.writers for row in writer.called(self.step, self.state)]:
                for writer in self.writers:
                    writer.write(row)

    def write_histograms(self) -> None:
        with self._failing_later():
            for writer in self.writers:
                writer.histograms(self.step, self.state.result)

    def write_maps(self) -> None:
        with self._failing_later():
            for writer in self.writers:
                writer.maps(self.step, self.state.result)

    def save(self) -> None:
        """Save the state, with what a resume and the choice of the best checkpoint need to know.

        Raises OSError, or WorkerLost on the other workers, where it can't be written.
        """
        validation = self.rows.get("validation")
        header = {
            "identity": self.config.identity_hash(),
            "length": str(self.config.train.length),
            "data_sha256": self.data_sha256,
            "versions": provenance.versions(),
            "compile_seconds": self.clock.compile_seconds,
            "train_seconds": self.clock.train_seconds,
            "validation": validation if validation and validation["step"] == self.step else None,
            "early_stop": self._patience.as_json(),
            "devices": devices(self.config, self.cluster),
            **self.detour._asdict(),
        }
        with self._failing_later():
            for writer in self.writers:
                writer.save(self.step, self.state, header)
        self._fail_together(sum_over_workers(self.cluster, np.array(self._failure is not None, np.int64)))
        self._last_save = time.monotonic()

    def save_is_due(self) -> bool:
        """Whether `checkpoint.every` is in minutes and these were over for the chief when the workers last agreed."""
        return self._save_is_due

    def is_over(self) -> bool:
        """Whether, when the workers last agreed, training had come to its end before its length: see `ended_by`."""
        return self._is_over

    def ended_by(self) -> Literal["length", "target", "early_stop", "max_seconds"]:
        """What ends training where it stands now; "length" also where nothing does yet."""
        train, validation = self.config.train, self.rows.get("validation")
        if self.events.evaluates(self.step):
            if train.target and validation and validation["step"] == self.step and train.target.is_reached(validation):
                return "target"
            if self._patience.is_over():
                return "early_stop"
            if train.max_seconds and self.clock.train_seconds >= train.max_seconds:
                return "max_seconds"
        return "length"

    def agree(self) -> int:
        """Let all workers take the same next chunk, its length at the chief's pace, and save, stop or fail together.

        Returns the number of the signal that any of them received, 0 for none. Where one of them has failed to write,
        that one raises the OSError and the others WorkerLost.
        """
        pace = self.clock.steps_in(_CHUNK_SECONDS) if self.cluster.is_chief else 0
        received = np.zeros(65, np.int64)
        received[self._signals.received] = 1
        over = self.cluster.is_chief and self.ended_by() != "length"
        word = np.array([self._failure is not None, pace, self._is_save_overdue(), over, *received], np.int64)
        failed, pace, overdue, over, *counts = sum_over_workers(self.cluster, word).tolist()
        self._save_is_due, self._is_over = bool(overdue), bool(over)
        self._fail_together(failed)
        if self.clock.step_seconds:  # XLA compiles in the first chunk, which may take longer than all others
            self._heartbeat.beat()
        self._steps_per_chunk = pace
        return max(number for number, count in enumerate(counts) if count)

    def check_equal_weights(self) -> str:
        """The SHA-256 of the weights. Raises HarnessError on every worker where one has others than the chief."""
        digest = weights_sha256(self.state.result)
        own = np.frombuffer(bytes.fromhex(digest), np.int32).astype(np.int64)
        differs = np.any(own != from_chief(self.cluster, own))
        if sum_over_workers(self.cluster, np.array(differs, np.int64)):
            raise HarnessError("the workers have ended with different weights, which must not happen: please report it")
        return digest

    def _is_save_overdue(self) -> bool:
        seconds = self.events.checkpoint_seconds if self.cluster.is_chief else None
        return seconds is not None and time.monotonic() - self._last_save >= seconds

    @contextmanager
    def _failing_later(self) -> Iterator[None]:
        """Keep what one worker fails at until all can end with it: the others would wait for it in a collective."""
        try:
            yield
        except (OSError, CallbackFailed) as error:
            self._failure = self._failure or error

    def _fail_together(self, failed: Any) -> None:
        if self._failure is not None:
            raise self._failure
        if failed:
            raise WorkerLost("another worker has failed, as its own output says; all stop with it")

    def _restore(self, checkpoint: Checkpoint | None) -> tuple[int, Detour]:
        """Give every worker the chief's checkpoint; returns its step, 0 without one, and its detour."""
        header: dict[str, Any] = checkpoint.header if checkpoint else {}
        if header.get("validation"):
            self.rows["validation"] = header["validation"]
        seconds = [header.get("compile_seconds", 0.0), header.get("train_seconds", 0.0)]
        detour = [header.get("skipped_steps", 0), header.get("restores", 0)]
        numbers = np.array([checkpoint.step if checkpoint else 0, *seconds, *detour])
        step, self.clock.compile_seconds, self.clock.train_seconds, *detour = from_chief(self.cluster, numbers).tolist()
        if step:
            weights = self.state.model.trainable_variables
            arrays = with_packed_moments(checkpoint.arrays, weights) if checkpoint else {}
            variables = self.state.variables()
            odd = [p for p, v in variables.items() if checkpoint and getattr(arrays.get(p), "shape", None) != v.shape]
            if odd:
                raise RunError(f"the checkpoint of step {int(step):,} has no {odd[0]} that fits this model and data")
            for path, variable in variables.items():
                own = arrays[path] if self.cluster.is_chief else np.zeros(variable.shape, variable.dtype)
                variable.assign(from_chief(self.cluster, own))
        return int(step), Detour(*map(int, detour))

    def _write(self, **row: Any) -> None:
        self.rows[row["split"]] = row
        with self._failing_later():
            for writer in self.writers:
                writer.write(row)

    def _learning_rate(self, step: int) -> float:
        return float(self.state.learning_rate(tf.constant(step)))


def devices(config: Config, cluster: Cluster) -> dict[str, Any]:
    """What decides in which order a sum is added: a run resumed under the same goes on exact to the bit."""
    return {
        "workers": cluster.workers,
        "replicas": cluster.replicas,
        "device": describe_device(),
        "micro_batch": config.train.micro_batch,
        "jit": config.train.jit,
        "deterministic": config.train.deterministic,
        "tf32": config.train.tf32,
        "all_reduce": config.cluster.all_reduce,
        "tensorflow": provenance.versions()["tensorflow"],
    }
