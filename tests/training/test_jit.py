"""`train.jit`: what XLA compiles, and that it computes the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from harness.config import Config
from harness.training.chunk import Chunk
from harness.training.optimizer import all_reduce
from harness.training.state import State

Begin = Callable[..., tuple[State, Chunk]]
SmallTraining = Callable[..., Config]
HAS_GPU = bool(tf.config.list_physical_devices("GPU"))


def graph_of(chunk: Chunk) -> Any:
    return chunk.compiled.get_concrete_function(chunk._batches, tf.constant(1, tf.int64)).graph.as_graph_def()


def compiled_by_xla(chunk: Chunk) -> list[Any]:
    """The functions of a chunk's graph that XLA has to compile as a whole."""
    return [function for function in graph_of(chunk).library.function if function.attr["_XlaMustCompile"].b]


def reduced_gradients(chunk: Chunk) -> list[Any]:
    """The gradients of the next step, summed over micro-batches and replicas, and [Σ loss, Σ correct]."""
    strategy = chunk._cluster.strategy

    @tf.function
    def of_next_step(batches: Any) -> Any:
        grads, sums = strategy.run(all_reduce, args=chunk._unreduced_gradients(batches))
        return strategy.experimental_local_results((grads, sums))[0]

    grads, sums = of_next_step(chunk._batches)
    return [part.numpy() for part in (*grads, sums)]


@pytest.mark.parametrize("micro_batch", [None, 3])
@pytest.mark.parametrize("count", [1, 2])
def test_gradients_are_those_of_uncompiled_code(
    begin: Begin, small_training: SmallTraining, count: int, micro_batch: int | None
) -> None:
    def config(jit: str) -> Config:
        settings = {"global_batch": 21, "micro_batch": micro_batch, "label_smoothing": 0.1, "jit": jit}
        return small_training(data={"shift": 2}, train=settings)

    (_, plain), (_, compiled) = begin(config("off"), count), begin(config("on"), count)
    assert not compiled_by_xla(plain)
    assert compiled_by_xla(compiled)
    for expected, actual in zip(reduced_gradients(plain), reduced_gradients(compiled), strict=True):
        assert np.linalg.norm(actual - expected) <= 1e-5 * np.linalg.norm(expected)
    losses = [chunk(2).loss for chunk in (plain, compiled)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.skipif(HAS_GPU, reason="needs a machine without a GPU")
def test_by_default_nothing_is_compiled_on_cpus(begin: Begin, small_training: SmallTraining) -> None:
    config = small_training()
    assert config.train.jit == "auto"
    assert not compiled_by_xla(begin(config)[1])


def test_forward_and_backward_pass_alone_are_compiled(begin: Begin, small_training: SmallTraining) -> None:
    _, chunk = begin(small_training(data={"shift": 1}, train={"jit": "on"}), 2)
    names = {function.signature.name for function in compiled_by_xla(chunk)}
    inside = {
        node.op
        for function in graph_of(chunk).library.function
        if function.signature.name in names
        for node in function.node_def
    }
    assert {"Conv2D", "Conv2DBackpropFilter", "MaxPoolGrad"} <= inside
    # The random shift, the sum over replicas, the update and the input stay outside.
    assert not {"ImageProjectiveTransformV3", "AddN", "AssignSubVariableOp", "IteratorGetNext"} & inside
    graph = graph_of(chunk)
    everywhere = {node.op for function in graph.library.function for node in function.node_def}
    assert "ImageProjectiveTransformV3" in everywhere | {node.op for node in graph.node}


def test_gradient_norms_are_those_of_uncompiled_code(begin: Begin, small_training: SmallTraining) -> None:
    def norms(jit: str) -> list[list[float]]:
        train = {"global_batch": 21, "noise_scale": "2 steps", "jit": jit}
        _, chunk = begin(small_training(train=train, optimizer={"name": "adam", "learning_rate": 1e-4}))
        assert bool(compiled_by_xla(chunk)) == (jit == "on")
        return [list(row.values()) for row in chunk(5).norms]

    plain, compiled = norms("off"), norms("on")
    assert len(plain) == 2
    np.testing.assert_allclose(compiled, plain, rtol=1e-3)
