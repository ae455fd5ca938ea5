"""The recipes beside MNIST's: their networks are those of the papers, and each takes a step as its config says."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.cluster.strategy import connect
from harness.config import load
from harness.config.cluster import ClusterSection
from harness.data.sources import Split
from harness.models.build import builder
from harness.models.vgg import small_vgg
from harness.training.compile import compiled_chunk
from harness.training.events import Events
from harness.training.state import State

PROJECT = Path(__file__).parent.parent
EXAMPLES, FASHION = PROJECT / "docs" / "examples", PROJECT / "configs" / "fashion_mnist.yaml"


@pytest.fixture(autouse=True)
def in_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.syspath_prepend(str(EXAMPLES))


def images(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def parameters(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)


@pytest.mark.parametrize("name", ["cifar10", "imagenet_resnet50"])
def test_says_that_it_was_not_measured(name: str) -> None:
    told = Path(f"{name}.yaml").read_text()
    assert "not yet measured" in told or "Never run" in told


def test_the_small_vgg() -> None:
    model = small_vgg((28, 28, 1), 10)
    assert model.count_params() == 141_994
    assert model(images(2, 28, 28, 1).astype(np.float32)).shape == (2, 10)
    config = load(FASHION, ["train.precision=bfloat16"])
    half = builder(config, (28, 28, 1), 10)()
    full = {layer.name for layer in half.layers[1:] if layer.compute_dtype == "float32"}
    assert full == {"scale", "logits"}


def test_the_resnet_9_is_that_of_cifar() -> None:
    model = importlib.import_module("resnet9").resnet9((32, 32, 3), 10)
    assert parameters(model) == 6_573_120
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == 8


@pytest.mark.slow
def test_the_resnet_50_is_version_1_5(tmp_path: Path, call: Callable[..., Any]) -> None:
    """A dry run of the whole network, with its 1,000 classes, on generated images of 40×48."""
    labels: dict[str, Any] = {"y_train": np.arange(1000), "y_test": np.arange(4)}
    np.savez(tmp_path / "generated.npz", x_train=images(1000, 40, 48, 3), x_test=images(4, 40, 48, 3), **labels)
    data = f"data={{source: {tmp_path / 'generated.npz'}, validation: 0}}"
    told = call("train", "imagenet_resnet50.yaml", "--dry-run", "--set", data, "--set", "train.global_batch=64")
    assert told.exit_code == 0, told.stderr
    assert "25,557,032" in told.stdout
    assert "nothing trained" in told.stdout

    small = importlib.import_module("resnet50").resnet50((224, 224, 3), 7, width=4)
    kernels = [layer for layer in small.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(kernels) == 53
    assert {layer.kernel_size for layer in kernels if layer.strides == (2, 2)} == {(7, 7), (3, 3)}
    assert small.layers[-2].input.shape == (None, 7, 7, 128)


@pytest.mark.slow
@pytest.mark.parametrize(("config", "changes"), [
    (FASHION, ["model.widths=[4, 4, 4]"]),
    ("cifar10.yaml", ["model.width=4"]),
    ("imagenet_resnet50.yaml", ["model.width=4", "model.blocks=[1, 1]", "model.input.size=[32, 32]"]),
])  # fmt: skip
def test_takes_a_step_with_all_that_the_config_asks_for(config: str | Path, changes: list[str]) -> None:
    tree = load(config, [*changes, "train.length=20 steps", "train.global_batch=8", "schedule.warmup=2 steps"])
    rows = Split(images(8, 36, 36, 3), np.arange(8, dtype=np.int32) % 4)
    cluster, events = connect(ClusterSection()), Events.of(tree, len(rows))
    state = State(tree, cluster, events, builder(tree, (36, 36, 3), 4))
    before = [weight.numpy() for weight in state.model.trainable_variables]
    taken = compiled_chunk(tree, cluster, state, rows, 0, pytest.fail)(2)
    assert taken.steps == 2, "less where a loss or gradient is not finite"
    for weight, was in zip(state.model.trainable_variables, before, strict=True):
        assert not np.array_equal(weight.numpy(), was), weight.path
