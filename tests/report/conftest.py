import json
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import pytest

from harness.config import resolve
from harness.data import sources
from harness.models.export import export
from harness.report import Request, visualize
from harness.runs.run_dir import RunDir

ROWS = [
    {"step": 4, "split": "train", "loss": 2.2, "accuracy": 0.2, "learning_rate": 0.001},
    {"step": 6, "split": "noise_scale", "small_batch": 4.0, "big_batch": 8, "small_sq": 2.0, "big_sq": 1.0},
    {"step": 8, "split": "train", "loss": 1.1, "accuracy": 0.6, "learning_rate": 0.002},
    {"step": 8, "split": "validation", "loss": 1.2, "accuracy": 0.5},
    {"step": 8, "split": "test", "loss": 1.3, "accuracy": 0.4},
]


def small_model(channels: int, names: tuple[str, str], first: type[keras.layers.Conv2D]) -> keras.Model:
    keras.utils.set_random_seed(3)
    x = pixels = keras.Input((28, 28, channels), name="pixels")
    x = keras.layers.Rescaling(1 / 255)(x)
    x = first(4, 3, activation="relu", name=names[0])(x)
    x = keras.layers.MaxPooling2D(4)(x)
    x = keras.layers.Conv2D(20, 3, activation="relu", name=names[1])(x)
    return keras.Model(pixels, keras.layers.Dense(10, name="logits")(keras.layers.Flatten()(x)))


def finished_run(
    folder: Path,
    channels: int = 1,
    mistaken: bool | None = None,
    count: int = 60,
    names: tuple[str, str] = ("conv_1", "conv_2"),
    first: type[keras.layers.Conv2D] = keras.layers.Conv2D,
    methods: Sequence[str] = ("lrp", "occlusion", "gradient"),
) -> RunDir:
    """A finished run's directory, of an untrained small model on `count` real digits.

    `names` are those of its two convolutions, `first` is the class of the first. `mistaken` relabels the digits so that
    the model is wrong about all of them, or about none.
    """
    mnist = sources.load("mnist")
    images = np.repeat(mnist.x_test[:count], channels, axis=-1)
    labels = mnist.y_test[:count]
    model = small_model(channels, names, first)
    if mistaken is not None:
        labels = (model.predict(images, verbose=0).argmax(axis=1) + mistaken) % 10
    run = RunDir(folder / "small-run")
    run.path.mkdir(parents=True)
    data = folder / "digits.npz"
    np.savez(data, x_train=images, y_train=labels, x_test=images, y_test=labels)
    insight = {"images": 6, "methods": list(methods)}
    run.begin(resolve({"data": {"source": str(data), "validation": count // 6}, "insight": insight}))
    run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    run.write_summary({"status": "completed", "steps": 8, "validation": None, "weights_sha256": "ab" * 32})
    export(model, run.model_file)
    return run


@pytest.fixture(scope="session")
def make_run() -> Callable[..., RunDir]:
    return finished_run


@pytest.fixture(scope="session")
def unseen_run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run without pictures; tests only read it."""
    return finished_run(tmp_path_factory.mktemp("unseen") / "runs")


@pytest.fixture(scope="session")
def asked() -> Request:
    """What `run` shows beside what its config says."""
    return Request(rows=(3,), label=2)


@pytest.fixture(scope="session")
def run(made_once: Callable[..., Path], asked: Request) -> RunDir:
    """A run that has been pictured; tests only read it.

    Its page has images of every kind, an unsigned and a signed method, and a class that was asked for.
    """

    def make(folder: Path) -> None:
        run = finished_run(folder / "runs", count=150, methods=("gradient", "gradient_times_input"))
        visualize(run, request=asked)

    return RunDir(made_once("pictured", make) / "runs" / "small-run")
