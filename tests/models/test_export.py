import json
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.cluster.strategy import Cluster
from harness.data import sources
from harness.data.sources import Split
from harness.errors import RunError
from harness.models.cnn import build
from harness.models.export import export, load, logits_of
from harness.training.evaluate import Evaluator

IN_A_FRESH_PROCESS = """
import json, sys
sys.modules["harness"] = None  # not to be imported
import keras, numpy as np
model_file, data_file, probabilities_file = sys.argv[1:]
data = np.load(data_file)
assert data["images"].dtype == np.uint8
model = keras.saving.load_model(model_file, safe_mode=True)
probabilities = model.predict(data["images"], verbose=0)
np.save(probabilities_file, probabilities)
print(json.dumps({"accuracy": float(np.mean(probabilities.argmax(axis=1) == data["labels"])), "name": model.name}))
"""


@pytest.fixture(scope="module")
def digits() -> Split:
    mnist = sources.load("mnist")
    return Split(mnist.x_test[:500], mnist.y_test[:500])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, digits: Split) -> tuple[keras.Model, Path]:
    """A logits model a little better than chance, and the file made of it."""
    model = build("cnn", (28, 28, 1), 10, seed=5)
    optimizer = keras.optimizers.Adam(0.003)
    for first in range(0, 500, 50):
        with tf.GradientTape() as tape:
            images, labels = digits.images[first : first + 50], digits.labels[first : first + 50]
            loss = keras.losses.sparse_categorical_crossentropy(labels, model(images), from_logits=True)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    path = tmp_path_factory.mktemp("export") / "model.keras"
    export(model, path)
    return model, path


@pytest.mark.slow
def test_it_works_in_a_process_that_has_only_keras(
    exported: tuple[keras.Model, Path], digits: Split, tmp_path: Path
) -> None:
    model, path = exported
    np.savez(tmp_path / "rows.npz", images=digits.images[:], labels=digits.labels)
    command: list[str | Path] = [
        sys.executable,
        "-I",
        "-c",
        IN_A_FRESH_PROCESS,
        path,
        tmp_path / "rows.npz",
        tmp_path / "out.npy",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    evaluated = Evaluator(Cluster(tf.distribute.OneDeviceStrategy("CPU:0"), "one"), model, 64)(digits)
    assert 0.2 < evaluated["accuracy"] < 1
    assert told == {"accuracy": evaluated["accuracy"], "name": "cnn"}
    expected = tf.nn.softmax(model(digits.images[:].astype(np.float32))).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, rtol=1e-4, atol=1e-6)


def test_its_logits_are_those_of_the_trained_model(exported: tuple[keras.Model, Path], digits: Split) -> None:
    model, path = exported
    logits = logits_of(keras.saving.load_model(path))
    np.testing.assert_array_equal(logits([digits.images[:20]]).numpy(), model(digits.images[:20]).numpy())
    for mine, theirs in zip(model.weights, logits.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


@pytest.mark.filterwarnings("error::UserWarning")
def test_it_is_evaluated_as_the_trained_model_is(exported: tuple[keras.Model, Path], digits: Split) -> None:
    model, path = exported
    cluster = Cluster(tf.distribute.OneDeviceStrategy("CPU:0"), "one")
    again = logits_of(keras.saving.load_model(path))
    assert Evaluator(cluster, again, 64)(digits) == Evaluator(cluster, model, 64)(digits)


def test_exporting_leaves_the_model_as_it_was(exported: tuple[keras.Model, Path]) -> None:
    model, _ = exported
    assert model.layers[-1].name == "logits"


def test_a_new_export_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_text("older")
    export(build("cnn", (28, 28, 1), 10, seed=0), path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.keras"]
    assert keras.saving.load_model(path).output_shape == (None, 10)


def own_loss(true: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    return predicted - true


def test_a_model_compiled_with_a_loss_of_ones_own_is_loaded(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile(loss=own_loss)
    model.save(tmp_path / "model.keras")
    assert load(tmp_path / "model.keras").output_shape == (None, 2)


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        (keras.Sequential([keras.layers.Dense(2)]), "was never built: call it"),
        (keras.layers.Dense(2), "holds a Keras Dense, which is not a model"),
    ],
)
def test_what_is_no_built_model_is_refused_in_one_line(tmp_path: Path, saved: keras.layers.Layer, words: str) -> None:
    with warnings.catch_warnings(action="ignore"):  # Keras's, of what is saved here
        keras.saving.save_model(saved, tmp_path / "model.keras")
    with pytest.raises(RunError, match=words) as error:
        load(tmp_path / "model.keras")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("config", ["[" * 100_000, "{}", '{"class_name": 3}', '{"a": ' * 100_000])
def test_a_damaged_config_is_refused_in_one_line(
    exported: tuple[keras.Model, Path], tmp_path: Path, config: str
) -> None:
    with zipfile.ZipFile(exported[1]) as whole, zipfile.ZipFile(tmp_path / "model.keras", "w") as damaged:
        for name in whole.namelist():
            damaged.writestr(name, config if name == "config.json" else whole.read(name))
    with pytest.raises(RunError, match=r"is not a Keras model.* safe mode") as error:
        load(tmp_path / "model.keras")
    assert "\n" not in str(error.value)


def test_what_is_no_zip_file_is_told_to_be_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_text("hello")
    with pytest.raises(RunError, match=r"model\.keras is damaged, or not a \.keras file$"):
        load(tmp_path / "model.keras")


def test_a_folder_is_told_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "model.keras").mkdir()
    with pytest.raises(RunError, match=r"model\.keras is a folder"):
        load(tmp_path / "model.keras")


def test_an_export_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.keras"
    path.write_text("older")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        export(build("cnn", (28, 28, 1), 10, seed=0), path)
    assert path.read_text() == "older"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.keras"]
