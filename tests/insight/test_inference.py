"""A model is looked into as it predicts, and is the same afterwards."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from harness.insight.filters import (
    activation_maximization,
    class_optimal_images,
    duplicates,
    feature_maps,
    strongest,
)
from harness.insight.inference import infer
from harness.insight.saliency import METHODS
from harness.insight.trust import assess
from harness.insight.trust.faithfulness import faithfulness

Look = Callable[[keras.Model, NDArray[Any], NDArray[Any]], Any]


@pytest.fixture(scope="module")
def restless() -> keras.Model:
    """Augments, drops and normalizes by the batch while it trains; its statistics are not those of the test's images.
    Two filters are alike, so that `duplicates` looks at images."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            keras.layers.RandomFlip(seed=1),
            keras.layers.RandomTranslation(0.2, 0.2, seed=2),
            keras.layers.Conv2D(4, 3, name="conv"),
            keras.layers.BatchNormalization(name="normalized"),
            keras.layers.ReLU(),
            keras.layers.GaussianNoise(0.5, seed=3),
            keras.layers.Conv2D(5, 3, activation="relu", name="last"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5, seed=4),
            keras.layers.Dense(3),
        ]
    )
    kernel = model.get_layer("conv").kernel
    kernel.assign(np.concatenate([kernel[..., :3], kernel[..., :1] * 2], axis=-1))
    model.get_layer("normalized").moving_mean.assign([5.0, -5, 9, 1])
    functional: keras.Model = keras.Model(model.inputs[0], model.outputs[0])
    return functional


@pytest.fixture
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (5, 12, 12, 1), dtype=np.uint8)


@pytest.fixture
def labels() -> NDArray[np.int64]:
    return np.array([0, 1, 2, 1, 0])


def _trust(model: keras.Model, images: NDArray[Any], labels: NDArray[Any]) -> Any:
    method = METHODS["gradient"].explain
    return assess(model, {"gradient": method}, images, labels, {"gradient": method(model, images, labels)})


LOOKS: dict[str, Look] = {
    **{name: method.explain for name, method in METHODS.items()},
    "assess": _trust,
    "strongest": lambda model, images, labels: strongest(model, images),
    "duplicates": lambda model, images, labels: duplicates(model, images),
    "feature_maps": lambda model, images, labels: feature_maps(model, images),
    "activation_maximization": lambda model, images, labels: activation_maximization(model, "last", seeds=1, steps=3),
    "class_optimal_images": lambda model, images, labels: class_optimal_images(model, np.arange(3), seeds=1, steps=3),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_changes_no_weight_and_two_are_equal(
    look: str, restless: keras.Model, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    before = [variable.numpy() for variable in restless.variables]  # with the counters of the random layers
    first = LOOKS[look](restless, images, labels)
    second = LOOKS[look](restless, images, labels)
    for variable, value in zip(restless.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, variable.path)
    assert repr(_flat(first)) == repr(_flat(second))


def _flat(found: Any) -> list[Any]:
    """Everything in it, arrays as bytes."""
    if isinstance(found, np.ndarray):
        return [found.dtype, found.shape, found.tobytes()]
    if hasattr(found, "__dict__"):
        found = vars(found)
    if isinstance(found, dict):
        return [(key, _flat(value)) for key, value in found.items()]
    if isinstance(found, list | tuple):
        return [_flat(value) for value in found]
    return [found]


@pytest.mark.slow
def test_what_is_looked_at_is_what_the_model_predicts(
    restless: keras.Model, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    predicted = restless.predict(images.astype(np.float32), verbose=0)
    np.testing.assert_allclose(infer(restless, tf.constant(images, tf.float32)), predicted, rtol=1e-5, atol=1e-5)

    maps = np.zeros(images.shape[:3], np.float32)
    whole = faithfulness(restless, maps, images, labels).deletion["black"].values[:, 0]
    says = keras.ops.convert_to_numpy(keras.ops.softmax(predicted))
    np.testing.assert_allclose(whole, says[np.arange(5), labels], rtol=1e-4, atol=1e-6)

    maximal = class_optimal_images(restless, np.arange(3), seeds=1, steps=3)
    of_maximal = restless.predict(maximal.images, verbose=0)[np.arange(3), np.arange(3)]
    np.testing.assert_allclose(maximal.logits, of_maximal, rtol=1e-4, atol=1e-4)

    gains = METHODS["integrated_gradients"].explain(restless, images, labels).sum(axis=(1, 2))
    black = restless.predict(np.zeros((1, 12, 12, 1)), verbose=0)
    expected = predicted[np.arange(5), labels] - black[0, labels]
    np.testing.assert_allclose(gains, expected, rtol=0.01, atol=0.001)

    last = keras.Model(restless.inputs[0], restless.get_layer("last").output)
    found = feature_maps(restless, images)["last"]
    np.testing.assert_allclose(
        found, np.moveaxis(last.predict(images.astype(np.float32), verbose=0), -1, 1), rtol=1e-4, atol=1e-4
    )
    # Before the activation, where the model's own says the most that it says at all.
    tops = strongest(restless, images)["last"]
    np.testing.assert_allclose(np.maximum(tops.activations[:, 0], 0), found.max(axis=(0, 2, 3)), rtol=1e-4, atol=1e-4)


def test_maps_by_gradient_are_those_of_the_predicting_model(
    restless: keras.Model, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    pixels = tf.constant(images, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        score = tf.gather(restless(pixels, training=False), labels, batch_dims=1)
    expected = tape.gradient(score, pixels).numpy()
    maps_of: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
        "gradient": lambda gradient: np.abs(gradient).max(axis=-1),
        "gradient_times_input": lambda gradient: (gradient * images).sum(axis=-1),
        "smoothgrad": lambda gradient: np.abs(gradient).max(axis=-1),
    }
    for method, map_of in maps_of.items():
        explain = METHODS[method].explain
        maps = (partial(explain, noise=0.0, samples=2) if method == "smoothgrad" else explain)(restless, images, labels)
        np.testing.assert_allclose(maps, map_of(expected), rtol=1e-4, atol=1e-6)
