"""`harness bench`: what it measures fits together. Counts and relations, never a speed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from harness.cli import cli
from harness.config import resolve
from harness.errors import ConfigError, HarnessError, NonFiniteLoss, UserError
from harness.imports import handed
from harness.measuring import bench, keras_fit, paired
from harness.training.losses import cross_entropy

_SPREADS = ("images_per_second", "step_seconds", "pipeline_images_per_second")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A data set of MNIST's shape, small enough for `fit` to get through in a moment."""
    random = np.random.default_rng(0)
    path = tmp_path / "small.npz"
    np.savez(
        path,
        x_train=random.integers(0, 256, (320, 28, 28), np.uint8),
        y_train=np.arange(320, dtype=np.uint8) % 10,
        x_test=random.integers(0, 256, (20, 28, 28), np.uint8),
        y_test=np.arange(20, dtype=np.uint8) % 10,
    )
    return path


@pytest.fixture
def tree(source: Path) -> dict[str, Any]:
    return {
        "name": "small",
        "data": {"source": str(source), "validation": 20, "shift": 1},
        "train": {"length": "2 epochs", "global_batch": 16},
        "schedule": {"name": "constant", "warmup": "0 steps"},
    }


def linear(image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    pixels = keras.Input(image_shape)
    scaled = keras.layers.Rescaling(1 / 255)(keras.layers.Flatten()(pixels))
    return keras.Model(pixels, keras.layers.Dense(classes)(scaled))


@pytest.mark.slow
def test_measurements_fit_together(tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    calls = []

    def counted(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        calls.append(logits.shape)
        return cross_entropy(logits, labels)

    with handed({"test:counted": counted}):
        result = bench.measure(resolve(tree | {"loss": {"name": "test:counted"}}), repeats=3, chunk_seconds=0.05)

    assert len(calls) == 3, "once when it is checked, and once for each chunk: with augmentation and without"
    assert sorted(tmp_path.iterdir()) == before, "bench writes nothing"
    assert json.loads(json.dumps(result)) == result
    assert (result["replicas"], result["workers"], result["global_batch"]) == (1, 1, 16)
    for name in _SPREADS:
        assert 0 < result[name]["min"] <= result[name]["median"] <= result[name]["max"]
    assert result["images_per_second"]["median"] == pytest.approx(16 / result["step_seconds"]["median"])
    assert result["compile_seconds"] > 0
    assert result["first_step"]["seconds"] > 0
    assert 0 < result["first_step"]["peak_memory_bytes"] <= result["peak_memory_bytes"]
    assert {"python", "tensorflow", "keras"} <= result["versions"].keys()
    cost = result["augmentation_seconds_per_image"]
    assert cost["min"] <= cost["median"] <= cost["max"] < result["step_seconds"]["max"]

    text = bench.as_text(result)
    assert f"{result['images_per_second']['median']:,.0f} images/s" in text
    assert "1 replica, global batch 16" in text
    for low, high, shown in (
        (1e-6, 4e-6, "2.00 µs an image (median; 1.00 to 4.00)"),
        (-1e-6, 4e-6, "within the noise, at most 4.00 µs an image"),
        (-3e-6, -1e-6, "within the noise"),
    ):
        spread = {"min": low, "median": 2e-6, "max": high}
        text = bench.as_text({**result, "augmentation_seconds_per_image": spread})
        assert f"augmentation    {shown}" in text.splitlines()


@pytest.mark.slow
def test_augmentation_is_measured_where_there_is_some(tree: dict[str, Any]) -> None:
    """One that takes a time of its own, against the same training without it; mixing brings partners too."""
    tree["data"] |= {"shift": 0, "validation": 20}
    tree["model"] = {"name": "test:linear"}
    with handed({"test:linear": linear}):
        assert "augmentation_seconds_per_image" not in bench.measure(resolve(tree), repeats=1, chunk_seconds=0.02)
        tree["data"]["augment"] = [{"name": "rand_augment", "operations": 2}, {"name": "mixup"}]
        result = bench.measure(resolve(tree), repeats=1, chunk_seconds=0.05)
    assert result["augmentation_seconds_per_image"]["min"] > 0


def test_replicas_of_a_split_card_are_so_many_parts_of_it() -> None:
    cluster = bench.on_replicas(resolve({"cluster": {"gpus": [1], "logical_gpus": 4}}), 2).cluster
    assert (cluster.gpus, cluster.logical_gpus, cluster.logical_cpus) == ([1], 2, None)


def test_diverging_is_told(tree: dict[str, Any]) -> None:
    tree["optimizer"] = {"name": "sgd", "learning_rate": 1e30}
    with pytest.raises(NonFiniteLoss, match="learning_rate"):
        bench.measure(resolve(tree), repeats=1, chunk_seconds=0.05)


@pytest.mark.parametrize(("model", "parameters"), [("cnn", 60_554), ("cnn_two_pools", 93_322)])
def test_fit_trains_a_model_of_our_size(model: str, parameters: int) -> None:
    assert keras_fit.build(model, (28, 28, 1), 10).count_params() == parameters


@pytest.mark.slow
def test_fit_is_measured(source: Path) -> None:
    data = {"source": str(source), "validation": 20}
    result = keras_fit.measure("cnn", 16, (28, 28, 1), 10, data, seed=0, epochs=2)
    speed = result["images_per_second"]
    assert 0 < speed["min"] <= speed["median"] <= speed["max"]
    assert 0 < result["first_step"]["peak_memory_bytes"] <= result["peak_memory_bytes"]


def test_process_seconds_counts_the_interpreter_start() -> None:
    code = (
        "from harness.measuring.keras_fit import process_seconds; import time; time.sleep(0.2); "
        "print(process_seconds())"
    )
    assert float(subprocess.check_output([sys.executable, "-c", code])) >= 0.2


def test_comparing_needs_no_tensorflow() -> None:
    code = "import harness.measuring.paired, harness.measuring.keras_fit, sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_wrong_comparisons_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match="keras-fit, or key=value"):
        paired.compare("mnist", (), "pytorch", pairs=1, repeats=1)
    with pytest.raises(ConfigError, match="global_batch"):
        paired.compare("mnist", (), "train.global_batch=0", pairs=1, repeats=1)
    with pytest.raises(ConfigError, match=r"model\.input"):
        paired.compare("mnist", ("model.input.size=32",), "keras-fit", pairs=1, repeats=1)


@pytest.mark.parametrize(("code", "kind"), [(2, UserError), (1, HarnessError)])
def test_a_failed_process_is_one_line(code: int, kind: type[Exception]) -> None:
    program = f"import sys; print('first\\nerror: no such GPU', file=sys.stderr); sys.exit({code})"
    with pytest.raises(kind) as caught:
        paired.json_of("harness bench", [sys.executable, "-c", program])
    assert type(caught.value) is kind
    assert "no such GPU" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_setting_is_compared_in_turn_with_the_config_as_it_is() -> None:
    sides: list[bool] = []

    def run(name: str, command: list[str]) -> dict[str, Any]:
        changed = "train.global_batch=64" in command
        sides.append(changed)
        speed = 500.0 if changed else 1000.0
        used = {"seconds": 4.0, "peak_memory_bytes": 2**20}
        return {"images_per_second": {"median": speed}, "first_step": used, "peak_memory_bytes": 2**21}

    lines: list[str] = []
    result = paired.compare("mnist", ("seed=1",), "train.global_batch=64", 2, 7, lines.append, run)
    assert sides == [False, True, False, True]
    assert result["ratios"]["images_per_second"] == 2
    assert len(lines) == 2
    assert "2.00" in paired.as_text(result)


@pytest.mark.slow
def test_fit_is_compared_in_fresh_processes(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole section of the data is handed over: neither side can read these images without its scale."""
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")  # ours measures for seconds, on any number of processors
    with np.load(tree["data"]["source"]) as arrays:
        halves = {name: array / np.float32(255) if name[0] == "x" else array for name, array in arrays.items()}
    np.savez(tmp_path / "floats.npz", **halves)
    tree["data"] = {"source": str(tmp_path / "floats.npz"), "scale": [0, 1], "subset": "50 %", "validation": 20}
    config = tmp_path / "small.yaml"
    config.write_text(json.dumps(tree))  # JSON is YAML
    arguments = ["bench", str(config), "--against", "keras-fit", "--pairs", "1", "--repeats", "1", "--json"]
    result = json.loads(CliRunner().invoke(cli, arguments, catch_exceptions=False).stdout)
    (pair,) = result["pairs"]
    ours, theirs = (pair[side]["images_per_second"]["median"] for side in ("ours", "theirs"))
    assert result["ratios"]["images_per_second"] == pytest.approx(ours / theirs)
