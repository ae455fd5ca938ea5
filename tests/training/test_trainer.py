import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from harness.cluster.strategy import Cluster
from harness.config import Config
from harness.data.sources import DataSet, Split
from harness.errors import RunError
from harness.models.build import builder
from harness.stop_signals import StopSignals
from harness.training.callback import Callback, Callbacks, Row, closed_at_end
from harness.training.checkpoint import Checkpoint
from harness.training.chunk import ChunkResult
from harness.training.events import Events
from harness.training.rows import Mirror
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


class Called(Callback):
    """Keeps what it is called for, and fails at some of it."""

    def __init__(self, name: str, log: list[str], *fails: str) -> None:
        self._name, self._log, self._fails = name, log, fails

    def __call__(self, step: int, state: State, rows: Sequence[Row]) -> None:
        self._take("call")

    def end(self, step: int, state: State, rows: Sequence[Row]) -> None:
        self._take("end")

    def close(self) -> None:
        self._take("close")

    def _take(self, what: str) -> None:
        self._log.append(f"{self._name} {what}")
        if what in self._fails:
            raise OSError(f"{self._name} fails at {what}")


class Takes(Mirror):
    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self._log = log

    def write(self, row: Row) -> None:
        self._log.append(f"row {row['step']} {row['split']}")


def test_after_a_callback_that_fails_rows_are_passed_on_and_nothing_is_saved(
    new_trainer: Callable[[Config], Trainer], small_training: Callable[..., Config]
) -> None:
    log: list[str] = []
    trainer = new_trainer(small_training(train={"length": "2 steps"}))
    trainer.compile(pytest.fail)
    callbacks = Callbacks([(Called("fails", log, "call"), None), (Takes(log), None), (Called("saves", log), None)])
    with pytest.raises(OSError, match="fails at call"):
        trainer.run(callbacks, StopSignals())
    assert log == ["fails call", "row 2 train"]


def test_what_saves_ends_first_and_whatever_fails_at_the_end(
    new_trainer: Callable[[Config], Trainer], small_training: Callable[..., Config]
) -> None:
    log: list[str] = []
    trainer = new_trainer(small_training(train={"length": "2 steps"}))
    trainer.compile(pytest.fail)
    callbacks = Callbacks([(Called("own", log, "end"), None), (Called("saves", log), None)])
    with pytest.raises(OSError, match="own fails at end"):
        trainer.run(callbacks, StopSignals())
    assert log == ["own call", "saves call", "saves end", "own end"]


def test_what_is_returned_after_the_test_is_not_kept(
    new_trainer: Callable[[Config], Trainer], small_training: Callable[..., Config]
) -> None:
    class Gives(Callback):
        def __call__(self, step: int, state: State, rows: Sequence[Row]) -> Row:
            return {"split": "callback", "name": "own", "self": float(len(rows))}

    trainer = new_trainer(small_training(train={"length": "2 steps"}))
    trainer.compile(pytest.fail)
    callbacks = Callbacks([(Gives(), None)])
    trainer.run(callbacks, StopSignals())
    trainer.test(callbacks, StopSignals())
    assert [row["split"] for row in trainer.rows] == ["train", "callback", "test"]


def test_a_validation_row_that_is_lost_comes_back_with_the_checkpoint(
    new_trainer: Callable[[Config], Trainer], small_training: Callable[..., Config]
) -> None:
    trainer = new_trainer(small_training())
    arrays = {path: np.asarray(variable.numpy()) for path, variable in trainer.state.variables().items()}
    row = {"step": 4, "split": "validation", "loss": 0.5, "accuracy": 0.75}
    train = {"step": 4, "split": "train", "loss": 0.5}
    for rows in ([train], [train, row]):
        trainer.restore(Checkpoint(4, arrays, {"validation": row}), rows)
        assert trainer.rows == [train, row]


def test_closing_tells_only_of_what_went_wrong_first() -> None:
    log: list[str] = []
    with pytest.raises(KeyError), closed_at_end(Called("first", log, "close")):
        raise KeyError
    with pytest.raises(OSError, match="second fails at close"), closed_at_end(Called("second", log, "close")):
        pass
    assert log == ["first close", "second close"]
