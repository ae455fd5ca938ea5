from collections.abc import Callable
from typing import Any

import keras
import pytest
import tensorflow as tf

from harness.cluster.strategy import Cluster, connect
from harness.config import Config, resolve
from harness.config.cluster import ClusterSection
from harness.data import sources
from harness.data.sources import Split
from harness.models.build import builder
from harness.training.chunk import Chunk
from harness.training.compile import compiled_chunk
from harness.training.events import Events
from harness.training.state import State
from harness.training.stepwise import Stepwise


@pytest.fixture(scope="session")
def train_rows() -> Split:
    """100 real training images."""
    mnist = sources.load("mnist")
    return Split(mnist.x_train[:100], mnist.y_train[:100])


@pytest.fixture(scope="session")
def replicas() -> Callable[[int], Cluster]:
    """That many replicas, each on a logical CPU of its own."""
    tf.config.list_logical_devices()  # TensorFlow runs from here on, and nobody makes the CPUs fewer

    def cluster(count: int) -> Cluster:
        one, several = ClusterSection(strategy="single"), ClusterSection(strategy="mirrored", logical_cpus=count)
        return connect(several if count > 1 else one, environment={})

    return cluster


@pytest.fixture(scope="session")
def small_training() -> Callable[..., Config]:
    """A config of 12 steps of 8 examples at a constant rate. What is given is changed in it; with a `name`, the whole
    section is replaced."""

    def config(**sections: dict[str, Any]) -> Config:
        tree: dict[str, dict[str, Any]] = {
            "train": {"length": "12 steps", "global_batch": 8},
            "optimizer": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9},
            "schedule": {"name": "constant", "warmup": "0 steps"},
        }
        for key, section in sections.items():
            tree[key] = section if "name" in section else tree.get(key, {}) | section
        return resolve(tree)

    return config


@pytest.fixture(scope="session")
def new_state(replicas: Callable[[int], Cluster], train_rows: Split) -> Callable[..., State]:
    """New weights of the config's model or of `model` on so many replicas, and nothing compiled."""

    def new(config: Config, count: int = 1, model: Callable[[], keras.Model] | None = None) -> State:
        new_model = model or builder(config, (28, 28, 1), 10)
        return State(config, replicas(count), Events.of(config, len(train_rows)), new_model)

    return new


@pytest.fixture(scope="session")
def begin(replicas: Callable[[int], Cluster], train_rows: Split) -> Callable[..., tuple[State, Chunk]]:
    """New weights and the chunk that trains them: of the config's model or of `model`, on `rows`, from a step on."""

    def new(
        config: Config,
        count: int = 1,
        model: Callable[[], keras.Model] | None = None,
        rows: Split = train_rows,
        dtype: str | None = None,
        first_step: int = 0,
        warn: Callable[[str], None] = pytest.fail,
    ) -> tuple[State, Chunk]:
        cluster = replicas(count)
        new_model = model or builder(config, (28, 28, 1), 10, dtype)
        state = State(config, cluster, Events.of(config, len(rows)), new_model)
        return state, compiled_chunk(config, cluster, state, rows, first_step, warn)

    return new


@pytest.fixture(scope="session")
def graph_of() -> Callable[[Chunk], Any]:
    """The graph that takes the steps of a chunk on any replicas, with all shapes."""

    def graph(chunk: Chunk) -> Any:
        steps = chunk.steps
        assert isinstance(steps, Stepwise)
        given = (steps.batches, steps.source.data, chunk.values(), tf.constant(1), tf.constant(True))
        traced = steps.compiled.get_concrete_function(*given)
        assert steps.compiled.experimental_get_tracing_count() == 1
        return traced.graph.as_graph_def(add_shapes=True)

    return graph
