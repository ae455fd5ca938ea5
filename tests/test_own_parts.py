"""A model and data of the user's own, from Python and from a config, through training, resume and pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import harness
from harness.errors import ConfigError, DataError, UserError

SMALL: dict[str, Any] = {
    "train.length": "6 steps",
    "train.global_batch": 16,
    "data.validation": 20,
    "schedule.name": "constant",
    "schedule.warmup": "0 steps",
    "insight.methods": ["gradient"],
    "insight.filters": False,
    "insight.images": 4,
}
MODULE = """
import keras
import numpy as np

def net(image_shape, classes, units=4):
    pixels = keras.Input(image_shape)
    x = keras.layers.Conv2D(units, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(pixels))
    x = keras.layers.Dropout(0.2)(keras.layers.BatchNormalization()(x))
    x = Doubled()(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(pixels, keras.layers.Dense(classes)(x))

@keras.saving.register_keras_serializable("own")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x

def arrays():
    random = np.random.default_rng(0)
    train, test = (random.integers(0, 256, (n, 10, 10, 3), dtype=np.uint8) for n in (100, 40))
    return (train, np.arange(100)[:, None] % 3), (test, np.arange(40)[:, None] % 3)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a module in it."""
    (tmp_path / "own_parts_of_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_parts_of_a_module_train_are_pictured_evaluated_and_resumed(here: Path, call: Callable[..., Any]) -> None:
    config = here / "own.yaml"
    config.write_text("model: {name: own_parts_of_test:net, units: 5}\ndata: {source: own_parts_of_test:arrays}\n")
    run = harness.train(config, here / "run", quiet=True, **SMALL)
    assert run is not None
    assert run.read_config().model.arguments == {"units": 5}
    assert run.report_file.exists()
    assert call("evaluate", run.path, "--split", "test").exit_code == 0

    half = harness.train(config, here / "half", quiet=True, only_training=True, **(SMALL | {"train.length": "3 steps"}))
    assert half is not None
    told = call("resume", half.path, "--length", "6 steps", "--no-report")
    assert "exact to the bit" in told.stdout
    assert half.read_summary()["weights_sha256"] == run.read_summary()["weights_sha256"]

    compared = call("compare", run.path, half.path, "--out", here / "compared")
    assert compared.exit_code == 0, compared.stderr


def lonely(image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    pixels = keras.Input(image_shape)
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels))
    return keras.Model(pixels, keras.layers.Dense(classes)(x))


def arrays() -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        "x_train": random.integers(0, 256, (100, 10, 10), dtype=np.uint8),
        "y_train": np.arange(100) % 3,
        "x_test": random.integers(0, 256, (40, 10, 10), dtype=np.uint8),
        "y_test": np.arange(40) % 3,
    }


@pytest.mark.slow
def test_what_no_other_process_finds_trains_in_this_one(here: Path, call: Callable[..., Any]) -> None:
    given: dict[str, Any] = {"model": lambda shape, classes: lonely(shape, classes), "data": arrays()}
    run = harness.train("mnist", here / "run", quiet=True, **given, **SMALL)
    assert run is not None
    assert run.report_file.exists()
    told = call("visualize", run.path)
    assert told.exit_code == 2
    assert "was defined in a script or notebook" in told.stderr
    with pytest.raises(ConfigError, match="hand it over again, as data=…"):
        harness.evaluate(run)
    assert harness.evaluate(run, data=given["data"]) == run.read_summary()["test"]
    assert harness.visualize(run, data=given["data"]) == run.report_file
    other = run.checkpoints_dir / "step-6.safetensors"
    with pytest.raises(ConfigError, match="model"):  # a checkpoint needs the model's function, too
        harness.compare(run, other, data=given["data"])
    fewer = {name: array[:30] for name, array in given["data"].items()}
    with pytest.warns(UserWarning, match="has changed"):
        assert harness.evaluate(run, data=fewer)["examples"] == 30
    longer = SMALL | {"train.length": "9 steps"}
    again = harness.train("mnist", resume=run.path, quiet=True, with_report=False, **given, **longer)
    assert again is not None
    assert again.read_summary()["steps"] == 9
    changed = {**arrays(), "y_train": np.zeros(100, int)}
    with pytest.raises(UserError, match="has changed"):
        harness.train("mnist", resume=run.path, quiet=True, **(given | {"data": changed}), **longer)


@pytest.mark.parametrize(
    "command",
    [
        ("launch", "--workers", "2", "--", "train", "mnist"),
        ("scale", "run", "mnist_scaling_quick"),
        ("chaos", "mnist"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize(
    ("path", "lacks"), [("__main__:net", "a module of its own"), ("misspelt_of_test:net", "no module misspelt_of_test")]
)
def test_commands_that_start_processes_say_first_what_an_object_lacks(
    here: Path, call: Callable[..., Any], command: tuple[str, ...], path: str, lacks: str
) -> None:
    before = sorted(here.iterdir())
    told = call(*command, "--set", f"model={{name: '{path}'}}")
    assert (told.exit_code, told.stderr.count("\n")) == (2, 1)
    assert "model.name: " in told.stderr
    assert lacks in told.stderr
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize("begins", [True, False])
def test_a_sequential_model_is_trained_and_exported(here: Path, begins: bool) -> None:
    def model(image_shape: tuple[int, int, int], classes: int) -> keras.Model:
        inputs = [keras.Input(image_shape)] if begins else []
        return keras.Sequential([*inputs, keras.layers.Flatten(), keras.layers.Dense(classes)])

    run = harness.train("mnist", here / "run", model=model, data=arrays(), quiet=True, with_report=False, **SMALL)
    assert run is not None
    assert run.model_file.exists()


@pytest.mark.slow
def test_a_resume_tells_of_an_export_that_is_of_the_model_before(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given: dict[str, Any] = {"model": lonely, "data": arrays(), "quiet": True, "with_report": False}
    run = harness.train("mnist", here / "run", **given, **SMALL)
    assert run is not None
    (run.path / "model.onnx").touch()
    assert "model.onnx" not in capfd.readouterr().err
    harness.train("mnist", resume=run.path, **given, **SMALL | {"train.length": "9 steps"})
    assert "model.onnx is of the previous model" in capfd.readouterr().err


@pytest.mark.parametrize("model", [3, keras.Sequential([keras.layers.Dense(3)]), "resnet", {"name": "cnn", "deep": 3}])
def test_what_is_no_model_is_refused(here: Path, model: Any) -> None:
    with pytest.raises(ConfigError, match="model"):
        harness.train("mnist", here / "run", model=model, data=arrays(), **SMALL)
    assert not (here / "run").exists()


@pytest.mark.parametrize(
    ("given", "key"), [({"train.length": "x"}, "train.length"), ({"loss": "nope"}, "loss"), ({"lenght": 3}, "lenght")]
)
@pytest.mark.parametrize(("config", "name"), [("mnist", "mnist"), ({}, "config"), (harness.Config(), "config")])
def test_a_wrong_value_is_told_with_its_key_and_no_word_of_the_command_line(
    here: Path, config: Any, name: str, given: dict[str, Any], key: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: {key}: ") as refused:
        harness.train(config, here / "run", **given)
    assert "--set" not in str(refused.value)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (3, "the data must be"),
        (lambda: 1 // 0, "ZeroDivisionError"),
        ({**arrays(), "y_train": ["a"] * 100}, "integers"),
        ({**arrays(), "y_train": [None] * 100}, "numbers"),
        ({**arrays(), "y_train": np.eye(3)[np.arange(100) % 3]}, "one-hot"),
        ({**arrays(), "x_train": np.zeros((100, 10, 10))}, "data.scale"),
        ({"x_train": 3}, "the data must be"),
    ],
)
def test_what_is_no_data_is_refused(here: Path, data: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        harness.train("mnist", here / "run", model=lonely, data=data, **SMALL)
    assert not (here / "run").exists()


@pytest.mark.slow
def test_loss_metric_and_optimizer_are_handed_over(here: Path) -> None:
    def squared(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum((logits - tf.one_hot(labels, logits.shape[-1])) ** 2, axis=1)

    given: dict[str, Any] = {
        "model": lonely,
        "data": arrays,
        "loss": lambda logits, labels: tf.cast(squared(logits, labels), tf.float64),
        "metrics": {
            "ones": lambda logits, labels: labels == 1,
            "nll": {"name": "negative_log_likelihood"},
        },
    }
    seen = {}
    for name, optimizer in {
        "class": {"name": keras.optimizers.Nadam, "learning_rate": 0.002, "beta_1": 0.8},
        "instance": keras.optimizers.Nadam(0.002, beta_1=0.8),
        "path": {"name": "keras.optimizers:Nadam", "learning_rate": 0.002, "beta_1": 0.8},
    }.items():
        options: dict[str, Any] = {"quiet": True, "only_training": True, "optimizer": optimizer}
        run = harness.train("mnist", here / name, **options, **given, **(SMALL | {"seed": np.int64(1)}))
        assert run is not None
        seen[name] = run.read_summary()["weights_sha256"]
        assert run.read_config().optimizer.name == "keras.optimizers:Nadam"
    assert len(set(seen.values())) == 1
    assert run is not None
    validation = [row for row in run.read_metrics() if row["split"] == "validation"][-1]
    assert validation["ones"] == pytest.approx(6 / 20)
    assert validation["nll"] > 0
    for odd, told in (
        (keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)), "must be a number"),
        (type("Mine", (keras.optimizers.SGD,), {"__module__": "mine"})(0.1), "give the class"),
    ):
        with pytest.raises(ConfigError, match=told):
            harness.train("mnist", here / "none", optimizer=odd, model=lonely, data=arrays, **SMALL)
    with pytest.raises(ConfigError, match="loss"):
        harness.train("mnist", here / "none", loss=lambda logits, labels: logits, model=lonely, data=arrays, **SMALL)
    assert not (here / "none").exists()
