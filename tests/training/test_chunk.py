from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from harness.cluster.strategy import Cluster
from harness.config import Config
from harness.data.augment import augmented
from harness.data.order import rows
from harness.data.sources import Split
from harness.training.chunk import Chunk
from harness.training.losses import cross_entropy
from harness.training.state import State
from harness.training.stepwise import Stepwise

Begin = Callable[..., tuple[State, Chunk]]
SmallTraining = Callable[..., Config]


def weights(model: Any) -> list[Any]:
    return [variable.numpy() for variable in model.trainable_variables]


@pytest.fixture(scope="module")
def trained(begin: Begin, small_training: SmallTraining) -> tuple[State, Chunk, list[Any], list[Any]]:
    """A chunk run one step at a time, and the weights and averages from before and after each step."""
    state, chunk = begin(small_training(data={"shift": 1}, train={"ema": 0.3}), 2)
    history = [weights(state.model)]
    averages = [weights(state.average)]
    for _ in range(5):
        assert chunk(1).steps == 1
        history.append(weights(state.model))
        averages.append(weights(state.average))
    return state, chunk, history, averages


def test_any_number_of_steps_is_one_trace_and_steps_in_one_chunk_are_those_of_several(
    begin: Begin, small_training: SmallTraining
) -> None:
    config = small_training()
    (together, chunk), (apart, pieces) = begin(config), begin(config)
    whole = chunk(6)
    assert pieces(0).steps == 0
    parts = [pieces(steps) for steps in (1, 3, 2)]
    assert [part.steps for part in parts] == [1, 3, 2]
    assert isinstance(pieces.steps, Stepwise)
    assert pieces.steps.compiled.experimental_get_tracing_count() == 1
    assert apart.optimizer.iterations.numpy() == 6
    for one, other in zip(weights(together.model), weights(apart.model), strict=True):
        np.testing.assert_array_equal(one, other)
    of_all, *of_parts = ({**vars(result), **result.metrics} for result in (whole, *parts))
    for name in ("loss", "accuracy", "gradient_norm"):
        mean = sum(part[name] * part["steps"] for part in of_parts) / 6
        np.testing.assert_allclose(of_all[name], mean, rtol=1e-6, err_msg=name)


def test_nothing_in_the_compiled_graph_calls_back_into_python(trained: Any, graph_of: Callable[[Chunk], Any]) -> None:
    _, chunk, _, _ = trained
    graph = graph_of(chunk)
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    operations = {node.op for node in nodes}
    assert {"Conv2D", "IteratorGetNext"} <= operations  # we look at the steps themselves
    assert not [name for name in operations if "PyFunc" in name or "Host" in name or "Print" in name]


def test_the_average_follows_its_recursion(trained: Any) -> None:
    _, _, history, averages = trained
    expected = [weight.astype(np.float64) for weight in history[0]]
    for t, new in enumerate(history[1:], 1):
        decay = min(0.3, (1 + t) / (10 + t))
        expected = [decay * average + (1 - decay) * weight for average, weight in zip(expected, new, strict=True)]
        for average, should in zip(averages[t], expected, strict=True):
            np.testing.assert_allclose(average, should, rtol=1e-5, atol=1e-7)
    assert (1 + 1) / (10 + 1) < 0.3 < (1 + 5) / (10 + 5)  # both sides of the minimum were taken


def test_replicas_hold_equal_weights_and_averages(trained: Any, replicas: Callable[[int], Cluster]) -> None:
    state, _, _, _ = trained
    for variable in (*state.model.trainable_variables, *state.average.trainable_variables):
        one, other = replicas(2).strategy.experimental_local_results(variable.value)
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_a_chunk_of_no_steps_changes_nothing(trained: Any) -> None:
    state, chunk, _, _ = trained
    before = {path: variable.numpy() for path, variable in state.variables().items()}
    result = chunk(0)
    assert (result.steps, result.loss, result.metrics["accuracy"], result.gradient_norm) == (0, 0, 0, 0)
    for path, variable in state.variables().items():
        np.testing.assert_array_equal(variable.numpy(), before[path], err_msg=path)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_before_its_update(begin: Begin, small_training: SmallTraining) -> None:
    config = small_training(optimizer={"learning_rate": 1e30}, train={"ema": 0.9})
    (state, chunk), (reference, steps) = begin(config, 2), begin(config, 2)
    result = chunk(10)
    assert 0 < result.steps < 10
    for _ in range(result.steps):
        assert steps(1).steps == 1
    same = zip(state.variables().items(), reference.variables().values(), strict=True)
    for (path, variable), expected in same:
        assert np.all(np.isfinite(variable.numpy())), path
        np.testing.assert_array_equal(variable.numpy(), expected.numpy(), err_msg=path)
    assert state.optimizer.iterations.numpy() == result.steps
    assert np.isfinite([result.loss, result.metrics["accuracy"], result.gradient_norm]).all()


def test_clipping_limits_what_a_step_moves(begin: Begin, small_training: SmallTraining) -> None:
    config = small_training(train={"clip_norm": 0.01}, optimizer={"name": "sgd", "learning_rate": 2.0, "momentum": 0.0})
    state, chunk = begin(config)
    before = weights(state.model)
    result = chunk(1)
    moved = np.sqrt(sum(np.sum((new - old) ** 2) for new, old in zip(weights(state.model), before, strict=True)))
    assert result.gradient_norm > 0.1  # what is reported is the length before clipping
    assert moved == pytest.approx(2.0 * 0.01, rel=1e-3)


def test_each_image_is_shifted_by_what_its_position_says(
    begin: Begin, small_training: SmallTraining, train_rows: Split
) -> None:
    config = small_training(data={"shift": 3}, train={"micro_batch": 3})
    state, chunk = begin(config)
    positions = tf.range(8, dtype=tf.int64)
    row = rows(positions, config.seed, len(train_rows)).numpy()
    images = augmented(tf.constant(train_rows.images[row]), positions, config.seed, config.data)
    assert not np.array_equal(images, train_rows.images[row])
    logits = state.model(tf.cast(images, tf.float32))
    expected = tf.reduce_mean(cross_entropy(logits, tf.constant(train_rows.labels[row])))
    assert chunk(1).loss == pytest.approx(float(expected), rel=1e-5)
