"""`harness export`: files that other programs load give what model.keras gives, or there are none."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from onnxruntime import InferenceSession

from harness import exporting
from harness.config import load, resolve
from harness.imports import handed
from harness.machine import requirements
from harness.models.export import export
from harness.runs.run_dir import RunDir

FILES = {"savedmodel": "savedmodel", "tflite": "model.tflite", "onnx": "model.onnx"}


def by_tensorflow(path: Path, pixels: np.ndarray) -> np.ndarray:
    loaded = tf.saved_model.load(path)
    probabilities: np.ndarray = loaded.serve(pixels).numpy()
    return probabilities


def by_litert(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Image by image, the batch that it comes with."""
    model = Interpreter(str(path)).get_signature_runner()
    return np.concatenate([next(iter(model(pixels=pixels[row : row + 1]).values())) for row in range(len(pixels))])


def by_onnxruntime(path: Path, pixels: np.ndarray) -> np.ndarray:
    probabilities: np.ndarray = InferenceSession(path).run(None, {"pixels": pixels})[0]
    return probabilities


READERS = {"savedmodel": by_tensorflow, "tflite": by_litert, "onnx": by_onnxruntime}


@pytest.fixture(scope="module")
def run(small_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What export looks at in a completed run."""
    run = RunDir(tmp_path_factory.mktemp("export") / "small")
    run.lock()
    run.begin(load(small_config))
    run.write_summary({"status": "completed"})
    export(ending_in(keras.layers.ReLU()), run.model_file)
    run.unlock()
    return run.path


@pytest.fixture
def run_of(run: Path, tmp_path: Path) -> Callable[[keras.Model], Path]:
    """That run, as if another model had been trained."""

    def made(logits: keras.Model) -> Path:
        shutil.copytree(run, tmp_path / "run")
        export(logits, tmp_path / "run" / "model.keras")
        return tmp_path / "run"

    return made


@pytest.fixture(scope="module")
def pixels(small_data: Path) -> np.ndarray:
    with np.load(small_data) as data:
        images: np.ndarray = data["x_test"][:50, ..., np.newaxis].astype(np.float32)
    return images


def with_every_common_layer() -> keras.Model:
    """With statistics as a trained BatchNormalization has them."""
    inputs = keras.Input((28, 28, 1), name="pixels")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.MaxPooling2D(2)(keras.layers.DepthwiseConv2D(3, activation="relu6")(x))
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.Add()([x, keras.layers.Conv2D(8, 1, activation="silu")(x)])
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.LayerNormalization()(x)))
    random = np.random.default_rng(0)
    model.set_weights([random.uniform(0.1, 0.9, weight.shape) for weight in model.get_weights()])
    return model


def test_the_test_images_are_evenly_spread(tmp_path: Path) -> None:
    """The first ones may all be of one class."""
    read: list[int] = []

    class Photos:
        labels = np.arange(300) // 150

        def __len__(self) -> int:
            return 300

        def read(self, rows: np.ndarray) -> np.ndarray:
            read.extend(rows.tolist())
            return np.zeros((len(rows), 8, 8, 1), np.uint8)

    run = RunDir(tmp_path / "run")
    run.lock()
    run.begin(resolve({}, ["data.source=__main__:<photos>", "data.validation=10"]))
    inputs = keras.Input((8, 8, 1))
    export(keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs))), run.model_file)
    with handed({"__main__:<photos>": (Photos(), Photos())}):
        difference, count = exporting.export(run, "savedmodel", tmp_path / "exported")
    assert (difference, count) == (0, 100)
    assert read[-100:] == np.linspace(0, 299, 100).astype(int).tolist()


@pytest.mark.parametrize(
    ("form", "named"),
    [("savedmodel", True), pytest.param("tflite", False, marks=pytest.mark.slow), ("onnx", False)],
)
def test_another_program_gets_the_same_probabilities_as_in_evaluation(
    call: Callable[..., Any], run_of: Callable[..., Path], tmp_path: Path, pixels: np.ndarray, form: str, named: bool
) -> None:
    model = with_every_common_layer()
    run = run_of(model)
    path = tmp_path / "mine" if named else run / FILES[form]
    ended = call("export", run, "--to", form, *(["--output", path] if named else []))
    assert ended.exit_code == 0, ended.stderr
    assert ended.stdout.startswith(f"{path}: largest difference")
    assert "100 test images" in ended.stdout
    assert ended.stdout.count("\n") == 1
    assert ended.stderr == ""
    expected = tf.nn.softmax(model(pixels, training=False)).numpy()
    np.testing.assert_allclose(READERS[form](path, pixels), expected, rtol=0, atol=1e-4)
    assert not list(path.parent.glob(".export-*"))


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "float64"])
def test_other_precisions_than_float32_are_for_savedmodel_alone(
    call: Callable[..., Any], run_of: Callable[..., Path], precision: str
) -> None:
    hidden = precision if precision == "float64" else f"mixed_{precision}"
    run = run_of(ending_in(keras.layers.ReLU(dtype=hidden)))
    for form in ("tflite", "onnx"):
        refused = call("export", run, "--to", form)
        assert refused.exit_code == 2
        assert f"computes in {precision}" in refused.stderr
        assert refused.stderr.count("\n") == 1
    assert call("export", run, "--to", "savedmodel").exit_code == 0
    assert [name for name in FILES.values() if (run / name).exists()] == ["savedmodel"]


@keras.saving.register_keras_serializable("test_export")
class Noise(keras.layers.Layer):  # type: ignore[misc]
    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs + tf.random.uniform(tf.shape(inputs), maxval=9.0)


@keras.saving.register_keras_serializable("test_export")
class Complement(keras.layers.Layer):  # type: ignore[misc]
    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.math.erfc(inputs)


def ending_in(layer: keras.layers.Layer) -> keras.Model:
    inputs = keras.Input((28, 28, 1), name="pixels")
    return keras.Model(inputs, layer(keras.layers.Dense(10)(keras.layers.Flatten()(inputs))))


@pytest.mark.parametrize(
    ("layer", "form", "exit_code", "told"),
    [
        (Noise(), "savedmodel", 1, ["by up to", "1e-04"]),
        (Complement(), "tflite", 2, ["as tflite: it has no Erfc;"]),
        (Complement(), "onnx", 2, ["as onnx: it has no Erfc;"]),
    ],
)
def test_what_differs_or_cant_be_converted_leaves_nothing(
    call: Callable[..., Any],
    run_of: Callable[..., Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    layer: keras.layers.Layer,
    form: str,
    exit_code: int,
    told: list[str],
) -> None:
    run = run_of(ending_in(layer))
    (tmp_path / "out").mkdir()
    ended = call("export", run, "--to", form, "--output", tmp_path / "out" / "mine")
    assert ended.exit_code == exit_code
    assert all(words in ended.stderr for words in told), ended.stderr
    assert ended.stderr.count("\n") == 1
    assert caplog.text == ""  # what a converter logs would stand on the terminal too
    assert list((tmp_path / "out").iterdir()) == []


def test_a_path_that_is_taken_or_can_not_be_written_is_refused(
    call: Callable[..., Any], run: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("kept")
    for path, told in (
        (tmp_path / "mine", f"{tmp_path / 'mine'} already exists"),
        (tmp_path / "none" / "mine", f"no folder {tmp_path / 'none'}"),
        (Path("/proc/mine"), "can't write /proc/mine: No such file or directory"),
    ):
        refused = call("export", run, "--to", "onnx", "--output", path)
        assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
        assert told in refused.stderr
        assert "--output" in refused.stderr
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("mine", "kept")]


def test_a_missing_package_is_named_with_the_command_that_brings_it(
    call: Callable[..., Any], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older one counts as missing: put before the real one, as in an environment of the user's own."""
    older = tmp_path / "site-packages" / "onnxruntime-1.0.dist-info"
    older.mkdir(parents=True)
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(older.parent)
    refused = call("export", run, "--to", "onnx", "--output", tmp_path / "mine")
    assert refused.exit_code == 2
    assert "needs onnxruntime>=" in refused.stderr
    assert requirements.install_extra("onnx") in refused.stderr
    assert "tf2onnx>=" in refused.stderr
    assert refused.stderr.count("\n") == 1
