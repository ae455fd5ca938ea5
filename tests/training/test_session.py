import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.cluster.heartbeat import Heartbeat
from harness.cluster.strategy import Cluster
from harness.config import Config
from harness.data.sources import Split
from harness.errors import RunError
from harness.models.build import builder
from harness.stop_signals import StopSignals
from harness.training.checkpoint import Checkpoint
from harness.training.chunk import ChunkResult
from harness.training.events import Events
from harness.training.session import Session
from harness.training.state import State
from harness.training.writers import MetricsFile


@pytest.mark.parametrize("damage", ["missing", "of another shape"])
def test_a_checkpoint_that_does_not_fit_is_refused(
    replicas: Callable[[int], Cluster], small_training: Callable[..., Config], train_rows: Split, damage: str
) -> None:
    config, cluster = small_training(), replicas(1)
    events = Events.of(config, len(train_rows))
    state = State(config, cluster, events, builder(config, (28, 28, 1), 10))
    arrays = {path: np.asarray(variable.numpy()) for path, variable in state.variables().items()}
    path = next(path for path in arrays if path.endswith("logits/kernel"))
    if damage == "missing":
        del arrays[path]
    else:
        arrays[path] = arrays[path][:, :3]
    checkpoint = Checkpoint(4, arrays, {"compile_seconds": 0.0, "train_seconds": 0.0})
    with pytest.raises(RunError, match=path):
        Session(
            config,
            cluster,
            events,
            state,
            (train_rows,) * 3,
            checkpoint,
            None,
            StopSignals(),
            Heartbeat({}),
            pytest.fail,
        )


def test_norms_are_written_under_their_steps_before_the_chunk_unless_they_overflow(
    replicas: Callable[[int], Cluster], small_training: Callable[..., Config], train_rows: Split, tmp_path: Path
) -> None:
    config, cluster = small_training(train={"noise_scale": "2 steps"}), replicas(1)
    events = Events.of(config, len(train_rows))
    state = State(config, cluster, events, builder(config, (28, 28, 1), 10))
    session = Session(
        config, cluster, events, state, (train_rows,) * 3, None, None, StopSignals(), Heartbeat({}), pytest.fail
    )
    session.writers = [MetricsFile(tmp_path / "metrics.jsonl")]
    session.agree()
    norms = [{"small_sq": value} for value in (1.0, 2.0, math.inf, 4.0)]

    class Measured:
        steps = session._chunk.steps

        def __call__(self, steps: int) -> ChunkResult:
            return ChunkResult(steps, 0.5, {"accuracy": 0.5}, 0.5, None, norms)

    session._chunk = Measured()  # type: ignore[assignment]
    session.train_chunk()
    session.writers[0].close()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["split"], row.get("small_sq")) for row in rows] == [
        (3, "noise_scale", 1.0),
        (5, "noise_scale", 2.0),
        (9, "noise_scale", 4.0),
        (10, "train", None),
    ]
