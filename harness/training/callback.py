"""What is called between steps. The loop knows nothing else: see trainer.py."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.cluster.heartbeat import Heartbeat
from harness.errors import CallbackFailed
from harness.training.events import Every
from harness.training.state import State

Row = dict[str, Any]
"""One line of metrics.jsonl: {"step", "split", "loss", "accuracy", …}, or gradient norms under "noise_scale"."""

Returned = Mapping[str, float | str | NDArray[np.uint8]]
"""By name: numbers, texts, and images (height, width[, channels]) uint8."""


class Callback:
    """Something to be called between steps, on the first worker:

        class Norms(harness.Callback):
            every = "100 steps"

            def __call__(self, step, state, rows):
                kernel = state.model.get_layer("conv_1").kernel
                return {"conv_1": float(np.linalg.norm(kernel))}

    Its numbers and texts land in metrics.jsonl, as a row of split "callback" under its name, and with its images in
    TensorBoard. A function is a callback too.
    """

    every: str | None = "1 epoch"
    """How often, as durations stand in a config; `every` there takes precedence. None: between all chunks of steps,
    about every two seconds, and once after the test, when what it returns is discarded."""

    def __call__(self, step: int, state: State, rows: Sequence[Row]) -> Returned | None:
        """Look at the state after `step` steps.

        Args:
            step: how many were taken.
            state: `state.model` is the Keras model under training, `state.result` what is evaluated and exported: the
                averaged model where there is one.
            rows: those of metrics.jsonl so far, without images. A copy.

        What it raises ends the run, on all workers together.
        """
        raise NotImplementedError

    def end(self, step: int, state: State, rows: Sequence[Row]) -> None:
        """Training has come to its end or is stopped after `step` steps; the test may come next."""

    def close(self) -> None:
        """Nothing more comes, whatever the reason."""


class Beat(Callback):
    """A sign of life for `harness launch`. XLA compiles in the first chunk, so the first comes after that."""

    every = None

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat

    def __call__(self, step: int, state: State, rows: Sequence[Row]) -> None:
        self._heartbeat.beat()


class Callbacks:
    """Callbacks in the order in which they are called. One in which workers meet, as in an evaluation, comes first."""

    def __init__(self, scheduled: Sequence[tuple[Callback, Every | None]]) -> None:
        """Each with the steps at which it is due; None between all chunks."""
        self._scheduled = scheduled

    def due(self, step: int) -> Iterator[Callback]:
        return (callback for callback, every in self._scheduled if every is None or every.includes(step))

    def always_due(self) -> Iterator[Callback]:
        return (callback for callback, every in self._scheduled if every is None)

    def __reversed__(self) -> Iterator[Callback]:
        return (callback for callback, _ in reversed(self._scheduled))


C = TypeVar("C", bound=Callback)


@contextmanager
def closed_at_end(callback: C) -> Iterator[C]:
    """Close the callback at the end. Where something went wrong before, that is what the user has to know, and not
    that it can't be closed either."""
    try:
        yield callback
    except BaseException:
        with suppress(OSError, CallbackFailed):
            callback.close()
        raise
    callback.close()
