"""What a training step of several worker processes sends between them, counted in the graph that it compiles."""

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

pytestmark = pytest.mark.slow

IN_A_WORKER = """
import json, math, sys
import tensorflow as tf
from harness.cluster.strategy import connect
from harness.config import resolve
from harness.data import sources
from harness.training.chunk import Chunk
from harness.training.events import Events
from harness.training.state import State

config = resolve(json.loads(sys.argv[1]))
cluster = connect(config.cluster)
train = sources.load("mnist").splits(0)[0]
state = State(config, cluster, Events.of(config, len(train)), (28, 28, 1), 10)
chunk = Chunk(config, cluster, state, train, first_step=0)
traced = chunk.compiled.get_concrete_function(chunk._batches, tf.constant(1, tf.int64))
graph = traced.graph.as_graph_def(add_shapes=True)
nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
sums = [node for node in nodes if node.op.startswith("Collective") and "Reduce" in node.op]
numbers = lambda node: math.prod(d.size for d in node.attr["_output_shapes"].list.shape[0].dim)
print(json.dumps([(node.op, numbers(node)) for node in sums]))
print(chunk(2).steps)
"""


@pytest.mark.parametrize("micro_batch", [None, 4])
def test_a_step_of_two_workers_makes_one_collective_of_one_tensor(micro_batch: int | None) -> None:
    """Counted is CollectiveReduceV2, of which a worker's graph holds one per sum and device, here one CPU."""
    train = {"length": "4 steps", "global_batch": 16, "micro_batch": micro_batch, "clip_norm": 1.0, "ema": 0.9}
    config = {"train": train, "schedule": {"name": "constant", "warmup": "0 steps"}}
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    with ExitStack() as stack:
        processes = []
        for index in range(2):
            task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            process = subprocess.Popen(
                [sys.executable, "-c", IN_A_WORKER, json.dumps(config)],
                env={**os.environ, "TF_CONFIG": json.dumps(task)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            processes.append(stack.enter_context(process))
            stack.callback(process.kill)
        for process in processes:
            output, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors
            counted, steps = output.splitlines()
            assert json.loads(counted) == [["CollectiveReduceV2", 60_554 + 2]]
            assert steps == "2"
