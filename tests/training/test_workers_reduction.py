"""What a training step of several worker processes sends between them, counted in the graph that it compiles."""

import json
from pathlib import Path

import pytest

from tests.processes import workers

pytestmark = pytest.mark.slow

IN_A_WORKER = """
import json, math, sys
import tensorflow as tf
from harness.cluster.strategy import connect
from harness.config import resolve
from harness.data import sources
from harness.models.build import builder
from harness.training.compile import compiled_chunk
from harness.training.events import Events
from harness.training.state import State

config = resolve(json.loads(sys.argv[1]))
cluster = connect(config.cluster)
train = sources.load("mnist").splits(0)[0]
state = State(config, cluster, Events.of(config, len(train)), builder(config, (28, 28, 1), 10))
chunk = compiled_chunk(config, cluster, state, train, 0, print)
steps = chunk.steps
given = (steps.batches, steps.source.data, chunk.values(), tf.constant(1), tf.constant(True))
traced = steps.compiled.get_concrete_function(*given)
graph = traced.graph.as_graph_def(add_shapes=True)
nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
sums = [node for node in nodes if node.op.startswith("Collective") and "Reduce" in node.op]
numbers = lambda node: math.prod(d.size for d in node.attr["_output_shapes"].list.shape[0].dim)
print(json.dumps([(node.op, numbers(node)) for node in sums]))
print(chunk(2).steps)
"""


@pytest.mark.parametrize(("micro_batch", "noise_scale", "scalars"), [(None, None, 2), (4, "1 steps", 2 + 2)])
def test_a_step_of_two_workers_makes_one_collective_of_one_tensor(
    tmp_path: Path, micro_batch: int | None, noise_scale: str | None, scalars: int
) -> None:
    """Counted is CollectiveReduceV2, of which a worker's graph holds one per sum and device, here one CPU."""
    train = {"length": "4 steps", "global_batch": 16, "micro_batch": micro_batch, "clip_norm": 1.0, "ema": 0.9}
    train["noise_scale"] = noise_scale
    config = {"train": train, "schedule": {"name": "constant", "warmup": "0 steps"}}
    with workers([[json.dumps(config)]] * 2, [tmp_path] * 2, [IN_A_WORKER] * 2) as processes:
        for process in processes:
            output, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors
            counted, steps = output.splitlines()
            assert json.loads(counted) == [["CollectiveReduceV2", 60_554 + scalars]]
            assert steps == "2"
