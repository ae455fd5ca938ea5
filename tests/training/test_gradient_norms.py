"""The measured norms against brute force: the gradient of each single example, computed on its own."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.initializers import GlorotUniform
from numpy.typing import NDArray

from harness.cluster.batch import BatchPlan
from harness.cluster.strategy import Cluster
from harness.config import Config
from harness.data import sources
from harness.data.order import rows
from harness.data.pipeline import Batch
from harness.data.sources import Split
from harness.models.build import builder
from harness.training.chunk import Chunk
from harness.training.compile import compiled_chunk
from harness.training.events import Events
from harness.training.noise_scale import windows
from harness.training.state import State
from harness.training.step import gradients

Replicas = Callable[[int], Cluster]
SmallTraining = Callable[..., Config]
POOL = 150
STEPS = 300
STILL = {"name": "sgd", "learning_rate": 1e-12, "momentum": 0.0}
"""Leaves the weights where they are."""


def network(dtype: str = "float32") -> keras.Model:
    """A convolution and a dense layer: 390 parameters."""
    layers, pixels = keras.layers, keras.Input((28, 28, 1), dtype=dtype)
    x = layers.AveragePooling2D(7, dtype=dtype)(layers.Rescaling(1 / 255, dtype=dtype)(pixels))
    x = layers.Conv2D(4, 2, activation="tanh", kernel_initializer=GlorotUniform(1), dtype=dtype)(x)
    x = layers.Dense(10, kernel_initializer=GlorotUniform(2), dtype=dtype)(layers.Flatten(dtype=dtype)(x))
    return keras.Model(pixels, x)


def normalized_network() -> keras.Model:
    """The same with BatchNormalization, whose statistics are of the batch that it is given."""
    layers, pixels = keras.layers, keras.Input((28, 28, 1))
    x = layers.AveragePooling2D(7)(layers.Rescaling(1 / 255)(pixels))
    x = layers.Conv2D(4, 2, kernel_initializer=GlorotUniform(1))(x)
    x = layers.Activation("tanh")(layers.BatchNormalization()(x))
    return keras.Model(pixels, layers.Dense(10, kernel_initializer=GlorotUniform(2))(layers.Flatten()(x)))


def begun(
    config: Config, cluster: Cluster, train: Split, model: Callable[[], keras.Model] = network
) -> tuple[State, Chunk]:
    state = State(config, cluster, Events.of(config, len(train)), model)
    return state, compiled_chunk(config, cluster, state, train, 0, pytest.fail)


def weights(state: State) -> list[NDArray[Any]]:
    return [weight.numpy() for weight in state.model.trainable_variables]


@pytest.fixture(scope="module")
def pool() -> Split:
    """All the examples there are."""
    mnist = sources.load("mnist")
    return Split(mnist.x_train[:POOL], mnist.y_train[:POOL])


@pytest.fixture(scope="module")
def placed() -> list[NDArray[np.float32]]:
    """Weights at which the gradients of the examples differ, and their mean is well above zero: all are taken for 0."""
    *others, bias = network().get_weights()
    bias[0] = 1.5
    return [*others, bias]


@pytest.fixture(scope="module")
def of_each(replicas: Replicas, small_training: SmallTraining, pool: Split, placed: Any) -> NDArray[np.float64]:
    """The gradient of each example of the pool, (examples, parameters)."""
    state, _ = begun(small_training(), replicas(1), pool)
    place(state, placed)

    @tf.function  # type: ignore[untyped-decorator]
    def gradient(row: tf.Tensor) -> tf.Tensor:
        image, label = tf.gather(pool.images, [row]), tf.gather(pool.labels.astype(np.int64), [row])
        weights = [weight.value for weight in state.model.trainable_variables]
        grads, _, _ = gradients(state.model, weights, [], Batch(image, label, tf.ones(1), tf.zeros(1, tf.int64)), 1)
        return tf.concat([tf.reshape(grad, [-1]) for grad in grads], axis=0)

    return np.stack([gradient(tf.constant(row)).numpy() for row in range(POOL)]).astype(np.float64)


def place(state: State, values: list[NDArray[Any]]) -> None:
    for weight, value in zip(state.model.trainable_variables, values, strict=True):
        weight.assign(value)


def drawn(pool: Split, count: int) -> tuple[Split, NDArray[np.int64]]:
    """A training set of `count` draws from the pool with replacement, and which they are.

    An epoch is a permutation of it, in which the examples are as independent as in the draws.
    """
    which = np.random.default_rng(5).integers(len(pool), size=count)
    return Split(pool.images[which], pool.labels[which]), which


def by_hand(of_rows: NDArray[np.float64], plan: BatchPlan) -> tuple[float, float]:
    """small_sq and big_sq from the gradients of a step's examples, (global_batch, parameters), in order."""
    pieces = []
    for replica, micro_batch in itertools.product(range(plan.replicas), range(plan.micro_batches)):
        in_replica = micro_batch * plan.micro_rows + np.arange(plan.micro_rows)
        in_batch = replica * plan.replica_rows + in_replica
        pieces.append(in_batch[(in_replica < plan.replica_rows) & (in_batch < plan.global_batch)])
    if len(pieces) == 1:
        pieces = np.array_split(pieces[0], 2)
    small = sum(len(piece) * np.sum(of_rows[piece].mean(axis=0) ** 2) for piece in pieces if len(piece))
    return float(small) / plan.global_batch, float(np.sum(of_rows.mean(axis=0) ** 2))


def in_standard_errors(found: list[float], expected: float) -> float:
    """How far the mean of `found` is from `expected`."""
    return float((np.mean(found) - expected) / (np.std(found, ddof=1) / np.sqrt(len(found))))


def assert_estimates_agree(norms: list[dict[str, Any]], of_each: NDArray[np.float64], kind: str = "") -> None:
    """The mean of the steps' estimates is that of the pool, within three of its standard errors."""
    grad_sq = float(np.sum(of_each.mean(axis=0) ** 2))
    trace = float(np.sum(of_each**2, axis=1).mean()) - grad_sq
    assert 5 < trace / grad_sq < 500  # neither of them drowns the other
    steps = [{"step": step, "split": "noise_scale", **row} for step, row in enumerate(norms)]
    each = windows(steps, len(steps))
    for name, expected in (("grad_sq", grad_sq), ("trace", trace)):
        found = [getattr(window, name + kind) for window in each]
        assert abs(in_standard_errors(found, expected)) < 3, (name, np.mean(found), expected)
        assert np.std(found, ddof=1) / np.sqrt(len(found)) < 0.3 * expected  # it says something


@pytest.mark.slow
@pytest.mark.parametrize(
    ("global_batch", "count", "micro_batch"),
    [(17, 1, None), (18, 4, None), (15, 2, 3)],
)
def test_the_mean_of_many_draws_is_what_every_example_gives(
    replicas: Replicas,
    small_training: SmallTraining,
    pool: Split,
    placed: Any,
    of_each: NDArray[np.float64],
    global_batch: int,
    count: int,
    micro_batch: int | None,
) -> None:
    train, which = drawn(pool, global_batch * STEPS)
    settings = {"global_batch": global_batch, "micro_batch": micro_batch, "noise_scale": "1 steps"}
    config = small_training(train=settings, optimizer=STILL)
    state, chunk = begun(config, replicas(count), train)
    place(state, placed)
    result = chunk(STEPS)
    assert result.steps == STEPS
    assert len(result.norms) == STEPS - 1
    assert_estimates_agree(result.norms, of_each)

    plan = BatchPlan.of(config.train, count)
    for step in (1, 2, STEPS - 1):  # and each step alone, since its examples are known
        positions = tf.range(step * global_batch, (step + 1) * global_batch, dtype=tf.int64)
        examples = which[rows(positions, config.seed, len(train)).numpy()]
        measured = result.norms[step - 1]
        np.testing.assert_allclose(
            [measured["small_sq"], measured["big_sq"]], by_hand(of_each[examples], plan), rtol=1e-4
        )
        assert measured["big_batch"] == global_batch
        assert measured["small_batch"] * max(2, plan.pieces) == global_batch


@pytest.mark.slow
def test_the_mean_of_preconditioned_draws_is_what_every_example_gives(
    replicas: Replicas, small_training: SmallTraining, pool: Split, placed: Any, of_each: NDArray[np.float64]
) -> None:
    """With Adam's second moments put back before each step, as they would move."""
    train, _ = drawn(pool, 16 * STEPS)
    still = {"name": "adam", "learning_rate": 1e-12}
    config = small_training(train={"global_batch": 16, "noise_scale": "1 steps"}, optimizer=still)
    state, chunk = begun(config, replicas(2), train)
    place(state, placed)
    updates = 50
    bias = 1 - 0.999**updates
    moments = (np.mean(of_each**2, axis=0) + 1e-6) * bias
    (second,) = (variable for path, variable in state.variables().items() if path.endswith("velocity"))
    norms = []
    for _ in range(STEPS):
        state.optimizer.iterations.assign(updates)
        second.assign(moments)
        norms.extend(chunk(1).norms)
    assert len(norms) == STEPS
    factors = np.sqrt(bias) / (np.sqrt(moments) + 1e-7)
    assert_estimates_agree(norms, of_each)
    assert_estimates_agree(norms, of_each * factors, "_preconditioned")


@pytest.mark.slow
@pytest.mark.parametrize(("count", "micro_batch"), [(1, None), (2, 3)])
@pytest.mark.parametrize("model", [network, normalized_network])
def test_measuring_leaves_the_weights_alone(
    replicas: Replicas,
    small_training: SmallTraining,
    pool: Split,
    count: int,
    micro_batch: int | None,
    model: Callable[[], keras.Model],
) -> None:
    def after_steps(noise_scale: str | None) -> tuple[list[NDArray[Any]], int]:
        train = {"noise_scale": noise_scale, "micro_batch": micro_batch, "clip_norm": 0.5}
        config = small_training(train=train, optimizer={"learning_rate": 0.01})
        state, chunk = begun(config, replicas(count), pool, model)
        return weights(state), len(chunk(12).norms)

    (without, none), (measured, norms) = after_steps(None), after_steps("3 steps")
    assert (none, norms) == (0, 3)
    for one, other in zip(without, measured, strict=True):
        if count == 1 and micro_batch is None:
            assert np.linalg.norm(other - one) <= 1e-5 * np.linalg.norm(one)
        else:
            np.testing.assert_array_equal(other, one)


@pytest.mark.slow
def test_the_same_pieces_give_the_same_norms_on_any_replicas(
    replicas: Replicas, small_training: SmallTraining, pool: Split
) -> None:
    """In float64: four pieces of 2 examples, however they are spread."""

    def norms(count: int, micro_batch: int | None) -> NDArray[np.float64]:
        config = small_training(train={"noise_scale": "2 steps", "micro_batch": micro_batch}, optimizer=STILL)
        _, chunk = begun(config, replicas(count), pool, partial(network, "float64"))
        return np.array([list(row.values()) for row in chunk(6).norms])

    expected = norms(1, 2)
    assert expected.shape == (2, 4)
    np.testing.assert_allclose(norms(4, None), expected, rtol=1e-10)


def test_the_norms_are_those_before_clipping(replicas: Replicas, small_training: SmallTraining, pool: Split) -> None:
    config = small_training(train={"noise_scale": "1 steps", "clip_norm": 1e-3})
    _, chunk = begun(config, replicas(1), pool)
    for step in range(3):
        result = chunk(1)
        assert len(result.norms) == min(step, 1)
        assert result.gradient_norm > 0.1
        for norms in result.norms:
            assert norms["big_sq"] == pytest.approx(result.gradient_norm**2, rel=1e-5)


@pytest.mark.slow
def test_replicas_with_nothing_but_padding_add_nothing(
    replicas: Replicas, small_training: SmallTraining, pool: Split
) -> None:
    def norms(count: int) -> list[dict[str, float]]:
        config = small_training(train={"global_batch": 2, "noise_scale": "1 steps"}, optimizer=STILL)
        return begun(config, replicas(count), pool)[1](4).norms

    of_four = norms(4)
    assert [row["small_batch"] for row in of_four] == [1.0] * 3
    for one, other in zip(norms(1), of_four, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.slow
def test_measured_steps_do_not_depend_on_how_they_are_cut_into_chunks(
    replicas: Replicas, small_training: SmallTraining, pool: Split
) -> None:
    config = small_training(train={"noise_scale": "3 steps"}, optimizer={"name": "adam", "learning_rate": 1e-3})
    (_, whole), (_, parts) = (begun(config, replicas(1), pool) for _ in range(2))
    pieces = [parts(steps).norms for steps in (1, 2, 0, 4, 1, 4)]
    assert [len(norms) for norms in pieces] == [0, 0, 0, 2, 0, 1]
    assert whole(12).norms == [row for norms in pieces for row in norms]


def test_a_step_that_is_not_finite_is_not_measured(
    replicas: Replicas, small_training: SmallTraining, pool: Split
) -> None:
    config = small_training(optimizer={"learning_rate": 1e3}, train={"noise_scale": "1 steps"})
    result = begun(config, replicas(2), pool, builder(config, (28, 28, 1), 10))[1](10)
    assert 1 < result.steps < 10
    assert len(result.norms) == result.steps - 1
    assert np.isfinite([list(row.values()) for row in result.norms]).all()
