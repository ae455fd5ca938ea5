from collections.abc import Callable
from typing import Any

import keras
import pytest

from harness.errors import ConfigError
from harness.models.cnn import NAMES, build
from harness.models.replicas import check_replicable

layers = keras.layers
BY_EXAMPLE: dict[str, Callable[[], keras.layers.Layer]] = {
    "Dropout": lambda: layers.Dropout(0.5, name="odd"),
    "SpatialDropout2D": lambda: layers.SpatialDropout2D(0.5, name="odd"),
    "GaussianNoise": lambda: layers.GaussianNoise(0.5, name="odd"),
    "GaussianDropout": lambda: layers.GaussianDropout(0.5, name="odd"),
    "AlphaDropout": lambda: layers.AlphaDropout(0.5, name="odd"),
    "Dropout of whole channels": lambda: layers.Dropout(0.5, noise_shape=(None, 1, 1, 3), name="odd"),
}


class Counting(keras.layers.Layer):  # type: ignore[misc]
    """Keeps how many examples it has seen."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs: Any) -> Any:
        return inputs


REFUSED: dict[str, Callable[[], keras.layers.Layer]] = {
    "Dropout, one mask for all": lambda: layers.Dropout(0.5, noise_shape=(1, 8, 8, 3), name="odd"),
    "ActivityRegularization": lambda: layers.ActivityRegularization(0.5, name="odd"),
    "a state of its own": lambda: Counting(name="odd"),
    "RandomFlip": lambda: layers.RandomFlip(name="odd"),
    "RandomRotation": lambda: layers.RandomRotation(0.1, name="odd"),
    "RandomTranslation": lambda: layers.RandomTranslation(0.1, 0.1, name="odd"),
    "RandomZoom": lambda: layers.RandomZoom(0.1, name="odd"),
    "RandomContrast": lambda: layers.RandomContrast(0.1, name="odd"),
    "RandomBrightness": lambda: layers.RandomBrightness(0.1, name="odd"),
    "RandomErasing": lambda: layers.RandomErasing(name="odd"),
}


def model(*extra: keras.layers.Layer) -> keras.Model:
    """A small model with some layers more behind its first."""
    x = pixels = keras.Input((8, 8, 3))
    for layer in (layers.Conv2D(3, 3, padding="same"), *extra, layers.Flatten(), layers.Dense(2)):
        x = layer(x)
    return keras.Model(pixels, x)


def nested(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer in a model in a model, behind a wrapper."""
    inner = keras.Sequential([keras.Input((8, 3)), layers.Dense(3), layer])
    return keras.Sequential([keras.Input((8, 8, 3)), layers.TimeDistributed(inner)])


def refusal(refused: keras.Model, replicas: int) -> str:
    with pytest.raises(ConfigError) as caught:
        check_replicable(refused, replicas)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("replicas", [1, 2, 64])
def test_our_models_train_on_any_number_of_replicas(name: str, replicas: int) -> None:
    check_replicable(build(name, (28, 28, 1), 10, seed=0), replicas)


@pytest.mark.parametrize("layer", [layers.BatchNormalization, layers.LayerNormalization])
def test_normalization_is_that_of_the_whole_batch(layer: Callable[[], keras.layers.Layer]) -> None:
    check_replicable(model(layer()), 2)


@pytest.mark.parametrize("kind", BY_EXAMPLE)
def test_layers_that_draw_for_each_example_train_on_several(kind: str) -> None:
    check_replicable(model(BY_EXAMPLE[kind]()), 4)


@pytest.mark.parametrize("kind", REFUSED)
def test_layers_that_would_differ_are_refused_on_several(kind: str) -> None:
    odd = model(REFUSED[kind]())
    check_replicable(odd, 1)
    told = refusal(odd, 4)
    assert "layer odd" in told
    assert "leave it out, or train on one replica" in told


def test_a_dropout_of_nothing_draws_nothing() -> None:
    check_replicable(model(layers.Dropout(0.0, noise_shape=(1, 8, 8, 3))), 2)


@pytest.mark.parametrize("layer", [lambda: layers.RandomBrightness(0.1, name="odd")])
def test_layers_deep_inside_are_found(layer: Callable[[], keras.layers.Layer]) -> None:
    deep = model(nested(layer()))
    check_replicable(deep, 1)
    assert "layer odd" in refusal(deep, 2)
