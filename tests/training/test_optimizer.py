import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.cluster.strategy import Cluster
from harness.config import Config
from harness.config.optimizer import SGD, Adam, AdamW
from harness.training import optimizer
from harness.training.chunk import Chunk, ChunkResult
from harness.training.state import State

Begin = Callable[..., tuple[State, Chunk]]
GraphOf = Callable[[Chunk], Any]
IN_ONE_PACK = 60_554 + 2
"""All gradients, the loss and the correct predictions."""


@pytest.fixture(scope="module")
def everything_on(small_training: Callable[..., Config]) -> Config:
    """All that may touch gradients and weights in a step."""
    return small_training(
        data={"shift": 1},
        train={"global_batch": 9, "micro_batch": 3, "clip_norm": 0.5, "ema": 0.9},
        loss={"label_smoothing": 0.1},
        metrics={"top_3": {"name": "top_k", "k": 3}},
    )


@pytest.fixture(scope="module")
def after_3_steps(begin: Begin, everything_on: Config) -> dict[int, tuple[State, Chunk, ChunkResult]]:
    """On one replica and on two."""
    begun = {count: begin(everything_on, count) for count in (1, 2)}
    return {count: (state, chunk, chunk(3)) for count, (state, chunk) in begun.items()}


def reductions(graph: Any) -> list[tuple[int, int]]:
    """The sums over replicas in everything that a chunk runs: (tensors added, numbers in each) for each.

    Counted are the AddN operations, of which a sum over logical CPUs makes one that takes the replicas' tensors on one
    device. A step stands in the graph once, however many are made, so the count is that of one step. Were a sum made in
    several packs of tensors, each pack would have an AddN of its own. Nothing else in the graph adds by AddN; a new
    model in which a tensor is used twice would, in its gradient.
    """
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert not [node.name for node in nodes if "Collective" in node.op or "Nccl" in node.op]
    sums = [node.attr for node in nodes if node.op == "AddN"]
    return [(attr["N"].i, math.prod(d.size for d in attr["_output_shapes"].list.shape[0].dim)) for attr in sums]


@pytest.mark.slow
def test_a_step_makes_one_all_reduce(after_3_steps: Any, graph_of: GraphOf) -> None:
    _, chunk, _ = after_3_steps[2]
    assert reductions(graph_of(chunk)) == [(2, IN_ONE_PACK + 1)]  # the sum of the metric


def test_it_is_one_over_four_replicas_too(
    begin: Begin, small_training: Callable[..., Config], graph_of: GraphOf
) -> None:
    _, chunk = begin(small_training(), 4)
    assert reductions(graph_of(chunk)) == [(4, IN_ONE_PACK)]


@pytest.mark.parametrize(("section", "norms", "micro_batch"), [(SGD(), 1, None), (Adam(), 2, 1)], ids=["sgd", "adam"])
def test_gradient_norms_ride_in_the_one_all_reduce(
    begin: Begin,
    small_training: Callable[..., Config],
    graph_of: GraphOf,
    section: Any,
    norms: int,
    micro_batch: int | None,
) -> None:
    train = {"noise_scale": "2 steps", "micro_batch": micro_batch}
    _, chunk = begin(small_training(train=train).model_copy(update={"optimizer": section}), 2)
    assert [chunk(steps).steps for steps in (0, 1, 3)] == [0, 1, 3]
    assert reductions(graph_of(chunk)) == [(2, IN_ONE_PACK + norms)]


@pytest.mark.slow
def test_a_single_replica_makes_none(after_3_steps: Any, graph_of: GraphOf) -> None:
    _, chunk, _ = after_3_steps[1]
    assert reductions(graph_of(chunk)) == []


@pytest.mark.slow
def test_two_replicas_update_as_one_does(after_3_steps: Any) -> None:
    (one, _, result_of_one), (two, _, result_of_two) = (after_3_steps[count] for count in (1, 2))
    for expected, actual in zip(one.model.trainable_variables, two.model.trainable_variables, strict=True):
        np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(result_of_two.loss, result_of_one.loss, rtol=1e-5)
    np.testing.assert_allclose(result_of_two.gradient_norm, result_of_one.gradient_norm, rtol=1e-4)
    assert result_of_two.metrics == result_of_one.metrics


def test_all_reduce_sums_over_replicas(replicas: Callable[[int], Cluster]) -> None:
    def in_replica() -> Any:
        mine = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group + 1, tf.float32)
        return optimizer.all_reduce(mine * tf.constant([1.0, 10.0, 7.0]))

    strategy = replicas(4).strategy
    for result in strategy.experimental_local_results(strategy.run(tf.function(in_replica))):
        np.testing.assert_array_equal(result, [10, 100, 70])


@pytest.mark.parametrize("limit", [0.5, 4.9999])
def test_clipping_scales_a_long_gradient_to_the_limit(limit: float) -> None:
    clipped = optimizer.clip(tf.constant([3.0, 0.0, 4.0]), tf.constant(5.0), limit)
    assert float(tf.norm(clipped)) == pytest.approx(limit)
    np.testing.assert_allclose(clipped[0] / clipped[2], 3 / 4, rtol=1e-6)


@pytest.mark.parametrize("limit", [5.0, 5.1, 1e30])
def test_clipping_leaves_a_short_gradient(limit: float) -> None:
    np.testing.assert_array_equal(optimizer.clip(tf.constant([3.0, 0.0, 4.0]), tf.constant(5.0), limit), [3, 0, 4])


def test_clipping_leaves_a_gradient_of_zero() -> None:
    np.testing.assert_array_equal(optimizer.clip(tf.zeros([3]), tf.constant(0.0), 1.0), np.zeros(3))


@pytest.mark.parametrize(
    ("section", "kind", "settings"),
    [
        (Adam(learning_rate=0.5), keras.optimizers.Adam, {}),
        (AdamW(learning_rate=0.5, weight_decay=0.125), keras.optimizers.AdamW, {"weight_decay": 0.125}),
        (SGD(learning_rate=0.5, momentum=0.75), keras.optimizers.SGD, {"momentum": 0.75, "nesterov": False}),
    ],
)
def test_each_section_builds_keras_update_rule(section: Any, kind: Any, settings: dict[str, Any]) -> None:
    built = optimizer.build(section, section.learning_rate)
    assert isinstance(built, kind)
    assert float(built.learning_rate) == 0.5
    assert {name: getattr(built, name) for name in settings} == settings
    # What Keras could do beside the rule is done by our own loop or not at all.
    nothing = [built.clipnorm, built.global_clipnorm, built.clipvalue, built.gradient_accumulation_steps, built.use_ema]
    assert not any(nothing)


@pytest.mark.parametrize("section", [Adam(learning_rate=0.5), AdamW(learning_rate=0.5, weight_decay=0.0)])
def test_the_preconditioner_is_what_adam_scales_by(section: Adam | AdamW) -> None:
    """Adam's first step is α·g·factor, with the moments that g has just made of zeros."""
    rule = optimizer.build(section, section.learning_rate)
    gradient = np.array([[3.0, -1e-3, 1e-6], [2e-8, 0.0, -40.0]])
    variable = keras.Variable(np.zeros((2, 3)), dtype="float64", name="weight")
    rule.build([variable])
    slots = [slot.value for slot in rule.variables]
    (moved,), slots = rule.stateless_apply(slots, [tf.constant(gradient)], [tf.zeros((2, 3), tf.float64)])
    factors = optimizer.preconditioner(rule, slots)
    assert factors is not None
    factors = factors.numpy().reshape(2, 3)
    np.testing.assert_allclose(-0.5 * gradient * factors, moved.numpy(), rtol=1e-5)
    assert np.abs(moved.numpy()).max() == pytest.approx(0.5, rel=1e-4)  # the sign of a large gradient
    assert 0 < np.abs(moved.numpy()[1, 0]) < 0.01  # ε holds a small one back


def test_sgd_has_no_preconditioner() -> None:
    assert optimizer.preconditioner(optimizer.build(SGD(), 0.1), []) is None
