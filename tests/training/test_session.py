from collections.abc import Callable

import numpy as np
import pytest

from harness.cluster.heartbeat import Heartbeat
from harness.cluster.strategy import Cluster
from harness.config import Config
from harness.data.sources import Split
from harness.errors import RunError
from harness.training.checkpoint import Checkpoint
from harness.training.events import Events
from harness.training.session import Session
from harness.training.state import State
from harness.training.stop import StopSignals


@pytest.mark.parametrize("damage", ["missing", "of another shape"])
def test_a_checkpoint_that_does_not_fit_is_refused(
    replicas: Callable[[int], Cluster], small_training: Callable[..., Config], train_rows: Split, damage: str
) -> None:
    config, cluster = small_training(), replicas(1)
    events = Events.of(config, len(train_rows))
    state = State(config, cluster, events, (28, 28, 1), 10)
    arrays = {path: np.asarray(variable.numpy()) for path, variable in state.variables().items()}
    path = next(path for path in arrays if path.endswith("logits/kernel"))
    if damage == "missing":
        del arrays[path]
    else:
        arrays[path] = arrays[path][:, :3]
    checkpoint = Checkpoint(4, arrays, {"compile_seconds": 0.0, "train_seconds": 0.0})
    with pytest.raises(RunError, match=path):
        Session(config, cluster, events, state, (train_rows,) * 3, checkpoint, None, StopSignals(), Heartbeat({}))
