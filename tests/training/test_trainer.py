import math
from collections.abc import Callable

import numpy as np
import pytest

from harness.cluster.strategy import Cluster
from harness.config import Config
from harness.data.sources import DataSet, Split
from harness.errors import RunError
from harness.models.build import builder
from harness.stop_signals import StopSignals
from harness.training.callback import Callback, Callbacks
from harness.training.checkpoint import Checkpoint
from harness.training.chunk import ChunkResult
from harness.training.events import Events
from harness.training.setup import Setup
from harness.training.state import State
from harness.training.trainer import Trainer


@pytest.fixture
def new_trainer(replicas: Callable[[int], Cluster], train_rows: Split) -> Callable[[Config], Trainer]:
    def new(config: Config) -> Trainer:
        data = DataSet(train_rows.images, train_rows.labels, train_rows.images, train_rows.labels)
        setup = Setup(config, data, train_rows, train_rows, train_rows, Events.of(config, len(train_rows)))
        return Trainer(setup, replicas(1), State(config, replicas(1), setup.events, builder(config, (28, 28, 1), 10)))

    return new


@pytest.mark.parametrize("damage", ["missing", "of another shape"])
def test_a_checkpoint_that_does_not_fit_is_refused(
    new_trainer: Callable[[Config], Trainer], small_training: Callable[..., Config], damage: str
) -> None:
    trainer = new_trainer(small_training())
    arrays = {path: np.asarray(variable.numpy()) for path, variable in trainer.state.variables().items()}
    path = next(path for path in arrays if path.endswith("logits/kernel"))
    if damage == "missing":
        del arrays[path]
    else:
        arrays[path] = arrays[path][:, :3]
    with pytest.raises(RunError, match=path):
        trainer.restore(Checkpoint(4, arrays, {"compile_seconds": 0.0, "train_seconds": 0.0}))


def test_norms_are_rows_under_their_steps_before_the_chunk_unless_they_overflow(
    new_trainer: Callable[[Config], Trainer], small_training: Callable[..., Config]
) -> None:
    trainer = new_trainer(small_training(train={"noise_scale": "2 steps"}))
    norms = [{"small_sq": value} for value in (1.0, 2.0, math.inf, 4.0)]
    with trainer.clock.training(10):
        trainer.step = 10
    trainer.add_rows(ChunkResult(10, 0.5, {"accuracy": 0.5}, 0.5, None, norms))
    assert [(row["step"], row["split"], row.get("small_sq")) for row in trainer.rows] == [
        (3, "noise_scale", 1.0),
        (5, "noise_scale", 2.0),
        (9, "noise_scale", 4.0),
        (10, "train", None),
    ]


def test_after_a_callback_that_fails_none_is_called_so_that_nothing_is_saved_without_its_rows(
    new_trainer: Callable[[Config], Trainer], small_training: Callable[..., Config]
) -> None:
    called: list[str] = []

    class Writes(Callback):
        def __call__(self, step: int, state: State, rows: object) -> None:
            called.append("writes")
            raise OSError("disk full")

    class Saves(Callback):
        def __call__(self, step: int, state: State, rows: object) -> None:
            called.append("saves")

        def end(self, step: int, state: State, rows: object) -> None:
            called.append("saves at the end")

    trainer = new_trainer(small_training())
    trainer.compile(pytest.fail)
    with pytest.raises(OSError, match="disk full"):
        trainer.run(Callbacks([(Writes(), None), (Saves(), None)]), StopSignals())
    assert called == ["writes"]
