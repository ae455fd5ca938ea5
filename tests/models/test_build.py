"""The doors for a model: a name, an import path, keras.applications, a file."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from harness.config import resolve
from harness.errors import ConfigError, HarnessError
from harness.imports import handed
from harness.keras_internals import last_operation
from harness.models.build import builder
from harness.models.logits import ending

SHAPE = (12, 14, 3)


def net(image_shape: tuple[int, int, int], classes: int, width: int = 4) -> keras.Model:
    pixels = keras.Input(image_shape)
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.Conv2D(width, 3, activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(pixels, keras.layers.Dense(classes)(x))


def built(section: dict[str, Any], function: Any = net, dtype: str | None = None, seed: int = 0) -> keras.Model:
    config = resolve({"model": section, "seed": seed})
    with handed({"own:net": function}):
        return builder(config, SHAPE, 5, dtype)()


def refused(section: dict[str, Any], function: Any = net, **more: Any) -> str:
    with pytest.raises(HarnessError) as refusal:
        built(section, function, **more)
    told = str(refusal.value)
    assert "\n" not in told
    assert refusal.value.exit_code == 2
    return told


OWN = {"name": "own:net"}


def test_a_function_is_called_with_the_keys_of_the_section() -> None:
    assert built(OWN).layers[2].filters == 4
    assert built({**OWN, "width": 6}).layers[2].filters == 6


def test_weights_and_names_are_the_seeds_alone() -> None:
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    expected = random.Random(3).random(), np.random.RandomState(3).random()
    first = built(OWN)
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002  the process's own go on undisturbed
    keras.layers.Dense(1)
    again, other = built(OWN), built(OWN, seed=1)
    assert [weight.path for weight in first.weights] == [weight.path for weight in again.weights]
    for one, same in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])


def test_hidden_layers_compute_in_the_precision_asked_for() -> None:
    model = built(OWN, dtype="bfloat16")
    assert {layer.compute_dtype for layer in model.layers[2:]} == {"bfloat16"}
    assert {weight.dtype for weight in model.trainable_variables} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_a_subclass_becomes_a_functional_model() -> None:
    class Own(keras.Model):  # type: ignore[misc]
        def __init__(self, classes: int) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(classes)

        def call(self, images: Any) -> Any:
            return self.dense(keras.ops.mean(images, axis=(1, 2)))

    model = built(OWN, lambda shape, classes: Own(classes))
    assert model.inputs[0].shape == (None, *SHAPE)
    assert model(np.zeros((2, *SHAPE))).shape == (2, 5)


def dense(units: int, **settings: Any) -> Callable[..., keras.Model]:
    def build(image_shape: tuple[int, int, int], classes: int) -> keras.Model:
        flat = keras.layers.Flatten()
        return keras.Sequential([keras.Input(image_shape), flat, keras.layers.Dense(units, **settings)])

    return build


def two_dtypes(image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    layers = keras.layers.Flatten(), keras.layers.Dense(4, dtype="float64"), keras.layers.Dense(classes)
    return keras.Sequential([keras.Input(image_shape), *layers])


def elsewhere(image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    return keras.Sequential([keras.Input((7,)), keras.layers.Dense(classes)])


def with_lambda(image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    layers = keras.layers.Lambda(lambda x: x / 255), keras.layers.Flatten(), keras.layers.Dense(classes)
    return keras.Sequential([keras.Input(image_shape), *layers])


def test_a_model_is_built_anew_at_each_call() -> None:
    """Else the moving average would be the model itself, and the user's own model the one that is trained."""
    model = net(SHAPE, 5)
    built(OWN, lambda shape, classes: model)
    assert "returned before" in refused(OWN, lambda shape, classes: model)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda shape, classes: None, "returned NoneType"),
        (lambda shape, classes: keras.layers.Dense(5), "returned Dense"),
        (dense(4), "outputs (4,)"),
        (dense(5, activation="softmax"), "ends in a softmax"),
        (elsewhere, "inputs (7,)"),
        (two_dtypes, "float32 and float64"),
        (lambda shape, classes: 1 // 0, "ZeroDivisionError: integer division or modulo by zero (test_build.py:"),
        (lambda shape: None, "TypeError"),
        (lambda shape, classes: with_lambda(shape, classes), "Lambda layer"),
    ],
)
def test_what_a_function_returns_is_looked_at(function: Any, told: str) -> None:
    refusal = refused(OWN, function)
    assert refusal.startswith("model.name: own:net")
    assert told in refusal


def test_an_argument_that_the_function_has_not_is_refused() -> None:
    assert "'depth'" in refused({**OWN, "depth": 3})


@pytest.mark.parametrize(("section", "told"), [
    ({"name": "cnnn"}, "did you mean 'cnn'"),
    ({"name": "cnn", "width": 3}, "unknown key 'width'"),
    ({"name": "cnn", "file": "a.keras"}, "either name or file"),
    ({"name": None}, "either name or file"),
    ({"file": 3}, "must be text"),
])  # fmt: skip
def test_a_section_that_names_no_model_is_refused(section: dict[str, Any], told: str) -> None:
    assert told in refused(section)


def test_layers_are_frozen_by_name_or_pattern() -> None:
    model = built({**OWN, "freeze": ["conv*", "batch_normalization"]})
    assert [variable.path for variable in model.trainable_variables] == ["dense/kernel", "dense/bias"]
    said = refused({**OWN, "freeze": ["cnv*"]})
    for fact in ("model.freeze: ", "cnv*", "conv2d, batch_normalization, dense"):
        assert fact in said
    assert "nothing to train" in refused({**OWN, "freeze": ["*"]})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A trained classifier of one's own, with a softmax, in a file."""
    model = net(SHAPE, 5)
    probabilities = keras.layers.Softmax()(model.output)
    path = tmp_path / "own.keras"
    keras.Model(model.input, probabilities).save(path)
    return path


def test_a_file_is_gone_on_from_without_its_softmax(file: Path) -> None:
    saved = keras.saving.load_model(file)
    model = built({"file": str(file), "freeze": ["conv*"]})
    images = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(keras.ops.softmax(model(images)), saved(images), rtol=1e-5, atol=1e-6)
    assert len(model.trainable_variables) == 4
    again = built({"file": str(file)})
    assert [weight.path for weight in model.weights] == [weight.path for weight in again.weights]


@pytest.mark.parametrize("activation", ["sigmoid", "linear"])
def test_one_logit_of_a_file_is_gone_on_from_with_a_binary_loss(activation: str, tmp_path: Path) -> None:
    pixels = keras.Input(SHAPE)
    saved = keras.Model(pixels, keras.layers.Dense(1, activation=activation)(keras.layers.GlobalMaxPooling2D()(pixels)))
    saved.save(tmp_path / "own.keras")
    config = resolve({"model": {"file": str(tmp_path / "own.keras")}, "loss": {"name": "binary"}})
    model = builder(config, SHAPE, 2)()
    images = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(keras.activations.get(activation)(model(images)), saved(images), rtol=1e-5)
    with pytest.raises(ConfigError, match=r"outputs \(1,\): .*logits \(5,\)"):
        builder(resolve({"model": {"file": str(tmp_path / "own.keras")}}), SHAPE, 5)()


def test_a_file_that_does_not_fit_is_refused(file: Path, tmp_path: Path) -> None:
    assert f"model.file: there is no model {tmp_path}/none.keras" in refused({"file": str(tmp_path / "none.keras")})
    assert "set it to float32" in refused({"file": str(file)}, dtype="bfloat16")
    with pytest.raises(ConfigError, match=r"outputs \(5,\): .*logits \(3,\).* function of your own"):
        builder(resolve({"model": {"file": str(file)}}), SHAPE, 3)()
    with pytest.raises(ConfigError, match=r"model\.file: .*takes images of shape .*model\.input\.size"):
        builder(resolve({"model": {"file": str(file)}}), (28, 28, 1), 5)()


@pytest.mark.parametrize(("name", "expected"), [
    ("MobileNet", {0: (-1, -1, -1), 255: (1, 1, 1)}),
    ("ResNet50", {0: (-103.939, -116.779, -123.68), 255: (151.061, 138.221, 131.32)}),
])  # fmt: skip
def test_an_application_takes_raw_pixels_and_gives_logits(name: str, expected: dict[int, tuple[float, ...]]) -> None:
    small = {"alpha": 0.25} if name == "MobileNet" else {}
    config = resolve({"model": {"name": f"keras.applications:{name}", **small}})
    model = builder(config, (32, 32, 3), 4)()
    scaled = keras.Model(model.input, model.get_layer("scale").output)
    for pixel, values in expected.items():
        np.testing.assert_allclose(scaled(np.full((1, 32, 32, 3), pixel, np.float32))[0, 0, 0], values, rtol=1e-4)
    red = scaled(np.array([255.0, 0, 0], np.float32) * np.ones((1, 32, 32, 3), np.float32))[0, 0, 0].numpy()
    assert int(red.argmax()) == (2 if name == "ResNet50" else 0)
    assert model.output_shape == (None, 4)
    assert ending(last_operation(model)) is None


def test_an_application_downloads_nothing() -> None:
    config = resolve({"model": {"name": "keras.applications:MobileNet", "weights": "imagenet"}})
    with pytest.raises(ConfigError, match="would be downloaded"):
        builder(config, (32, 32, 3), 4)()
    with pytest.raises(ConfigError, match="at least 32x32"):
        builder(resolve({"model": {"name": "keras.applications:MobileNet"}}), (28, 28, 3), 4)()


@pytest.mark.slow
def test_an_application_takes_a_file_of_weights_by_its_path(tmp_path: Path) -> None:
    saved = keras.applications.MobileNet((32, 32, 3), alpha=0.25, weights=None, classes=4, classifier_activation=None)
    saved.save_weights(tmp_path / "own.weights.h5")

    def built_from(file: str, classes: int) -> keras.Model:
        section = {"name": "keras.applications:MobileNet", "alpha": 0.25, "weights": str(tmp_path / file)}
        return builder(resolve({"model": section}), (32, 32, 3), classes)()

    for actual, expected in zip(built_from("own.weights.h5", 4).get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)
    for file, classes, told in (("none.weights.h5", 4, "no such file"), ("own.weights.h5", 5, "fails")):
        with pytest.raises(ConfigError, match=rf"^model\.name: keras\.applications:MobileNet.*{told}") as refusal:
            built_from(file, classes)
        assert "\n" not in str(refusal.value)
        assert "model.input" not in str(refusal.value)
