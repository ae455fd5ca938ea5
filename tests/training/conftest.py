from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from harness.cluster.strategy import Cluster, connect
from harness.config import Config, resolve
from harness.config.cluster import ClusterSection
from harness.data import sources
from harness.data.sources import Split
from harness.training.chunk import Chunk
from harness.training.events import Events
from harness.training.state import State


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
def begin(replicas: Callable[[int], Cluster], train_rows: Split) -> Callable[..., tuple[State, Chunk]]:
    """New weights and the chunk that trains them."""

    def new(config: Config, count: int = 1) -> tuple[State, Chunk]:
        cluster = replicas(count)
        state = State(config, cluster, Events.of(config, len(train_rows)), (28, 28, 1), 10)
        return state, Chunk(config, cluster, state, train_rows, first_step=0)

    return new
