"""Every update rule of the config: the same on several replicas and compiled by XLA, and resumed to the bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.initializers import GlorotUniform

from harness.config import Config
from harness.training import checkpoint
from harness.training.fused import Fused
from harness.training.state import State

STEPS = 6
RULES: list[dict[str, Any]] = [
    {"name": "adam", "learning_rate": 0.01},
    {"name": "sgd", "learning_rate": 0.1, "nesterov": True},
    {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.1, "decay_biases": False},
    {"name": "lamb", "learning_rate": 0.01, "weight_decay": 0.1},
    {"name": "lion", "learning_rate": 0.001},
    {"name": "lars", "learning_rate": 3.0, "weight_decay": 0.01},
    {"name": "muon", "learning_rate": 0.01, "weight_decay": 0.1},
    {"name": "keras.optimizers:Nadam", "learning_rate": 0.01, "beta_1": 0.8},
]
CASES = [
    pytest.param(rule, id=rule["name"], marks=[] if rule["name"] == "sgd" else [pytest.mark.slow]) for rule in RULES
]


def network() -> keras.Model:
    """A convolution and a dense layer, smooth."""
    layers = keras.layers
    pixels = keras.Input((28, 28, 1), dtype="float64")
    x = layers.AveragePooling2D(7, dtype="float64")(layers.Rescaling(1 / 255, dtype="float64")(pixels))
    x = layers.Conv2D(3, 2, activation="tanh", kernel_initializer=GlorotUniform(1), dtype="float64", name="conv")(x)
    x = layers.Dense(10, kernel_initializer=GlorotUniform(2), dtype="float64", name="logits")(layers.Flatten()(x))
    return keras.Model(pixels, x)


def arrays(state: State) -> dict[str, Any]:
    return {path: np.asarray(variable.numpy()) for path, variable in state.variables().items()}


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_resumes_to_the_bit_and_ends_alike_on_several_replicas_and_as_a_program_of_xla(
    begin: Any, small_training: Callable[..., Config], tmp_path: Path, rule: dict[str, Any]
) -> None:
    config = small_training(train={"global_batch": 9}, optimizer=rule)  # replicas have a row of padding, or three
    state, chunk = begin(config, 1, network)
    start = arrays(state)
    chunk(STEPS // 2)
    checkpoint.save(tmp_path, STEPS // 2, arrays(state), {}, keep=1)
    chunk(STEPS - STEPS // 2)
    end = arrays(state)
    unmoved = [path for path in start if np.array_equal(start[path], end[path])]
    assert not unmoved

    resumed, chunk = begin(config, 1, network, first_step=STEPS // 2)
    saved = checkpoint.load_newest(tmp_path, pytest.fail)
    assert saved is not None
    assert saved.arrays.keys() == end.keys()
    for path, variable in resumed.variables().items():
        variable.assign(saved.arrays[path])
    chunk(STEPS - STEPS // 2)
    for path, array in arrays(resumed).items():
        np.testing.assert_array_equal(array, end[path], err_msg=path)

    for count, jit in ((2, "off"), (4, "off"), (1, "on")):
        same = small_training(train={"global_batch": 9, "jit": jit}, optimizer=rule)
        other, chunk = begin(same, count, network)
        assert isinstance(chunk.steps, Fused) is (jit == "on")
        chunk(STEPS)
        for path, array in arrays(other).items():
            assert np.linalg.norm(array - end[path]) <= 1e-10 * np.linalg.norm(end[path]), (count, jit, path)
