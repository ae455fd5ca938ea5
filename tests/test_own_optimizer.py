"""An optimizer named by its import path: Keras's, and the user's own."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import harness
from harness.config import resolve
from harness.errors import UserError
from harness.training.optimizer import check

OWN = """
import keras
from keras import ops


class Signs(keras.optimizers.Optimizer):
    def __init__(self, learning_rate, beta=0.9):
        super().__init__(learning_rate=learning_rate)
        self.beta = beta

    def build(self, variables):
        super().build(variables)
        self.memories = self.add_optimizer_variables(variables, "memory")

    def update_step(self, gradient, variable, learning_rate):
        memory = self.memories[self._get_variable_index(variable)]
        self.assign(memory, self.beta * memory + (1 - self.beta) * gradient)
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * ops.sign(memory))


class Hidden(Signs):
    def build(self, variables):
        super().build(variables)
        self.total = __import__("tensorflow").Variable(0.0)


class Reshaping(Signs):
    def update_step(self, gradient, variable, learning_rate):
        self.assign(variable, ops.sum(gradient))


class Unfinished(keras.optimizers.Optimizer):
    pass


class Broken(Signs):
    def update_step(self, gradient, variable, learning_rate):
        raise RuntimeError("no luck\\ntoday")


def function(learning_rate):
    return Signs(learning_rate)
"""
KERAS = [
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "RMSprop",
    "SGD",
    "ScheduleFreeAdamW",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a module and data in it."""
    (tmp_path / "rules_of_test.py").write_text(OWN)
    images = np.random.default_rng(0).integers(0, 256, (40, 24, 24, 1), np.uint8)
    labels = np.arange(40) % 10
    np.savez(tmp_path / "data.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(optimizer: dict[str, Any], run: str, **more: Any) -> Any:
    config = {
        "data": {"source": "data.npz", "validation": 0},
        "train": {"length": "4 steps", "global_batch": 8},
        "schedule": {"name": "constant", "warmup": "0 steps"},
        "optimizer": optimizer,
    }
    return harness.train(config, run, quiet=True, only_training=True, **more)


@pytest.mark.slow
def test_a_rule_in_the_working_directory_trains_and_resumes_to_the_bit(here: Path) -> None:
    own = {"name": "rules_of_test:Signs", "learning_rate": 0.001, "beta": 0.8}
    whole = train(own, "whole").read_summary()
    train(own, "parts", **{"train.length": "2 steps"})
    resumed = train(own, "parts", resume="auto").read_summary()
    assert resumed["steps"] == 4
    assert resumed["weights_sha256"] == whole["weights_sha256"]


@pytest.mark.parametrize("name", KERAS)
def test_every_rule_of_keras_will_do(name: str) -> None:
    check(resolve({"optimizer": {"name": f"keras.optimizers:{name}", "learning_rate": 0.01}}).optimizer)


def test_these_are_all_of_them() -> None:
    about_others = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer"}
    classes = {name for name, value in vars(keras.optimizers).items() if isinstance(value, type)}
    rules = {name for name in classes if issubclass(getattr(keras.optimizers, name), keras.optimizers.Optimizer)}
    assert rules - about_others == set(KERAS)


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("rules_of_test:Signs", {"gamma": 1}, ["rules_of_test:Signs", "'gamma'"]),
        ("keras.optimizers:Nadam", {"beta_3": 0.5}, ["keras.optimizers:Nadam", "beta_3"]),
        ("keras.optimizers:Nadam", {"use_ema": True}, ["use_ema", "train.ema"]),
        ("keras.optimizers:Nadam", {"beta_1": float("nan")}, ["beta_1", "finite"]),
        ("keras.optimizers:Nadem", {}, ["optimizer.name", "no Nadem"]),
        ("nowhere_of_test:Rule", {}, ["optimizer.name", "nowhere_of_test"]),
        ("rules_of_test:function", {}, ["optimizer.name", "not a Keras optimizer class"]),
        ("rules_of_test:Unfinished", {}, ["NotImplementedError"]),
        ("rules_of_test:Broken", {}, ["RuntimeError: no luck"]),
        ("rules_of_test:Hidden", {}, ["add_variable"]),
        ("rules_of_test:Reshaping", {}, ["rules_of_test:Reshaping", "shape"]),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_written(
    here: Path, name: str, arguments: dict[str, Any], told: list[str]
) -> None:
    with pytest.raises(UserError) as refusal:
        train({"name": name, "learning_rate": 0.1, **arguments}, "run")
    assert all(part in str(refusal.value) for part in told), str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not (here / "run").exists()
