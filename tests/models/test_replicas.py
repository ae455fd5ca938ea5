from collections.abc import Callable

import keras
import pytest

from harness.errors import ConfigError
from harness.models.build import NAMES, build
from harness.models.replicas import check_replicable

layers = keras.layers
DRAWING: dict[str, Callable[[], keras.layers.Layer]] = {
    "Dropout": lambda: layers.Dropout(0.5, name="odd"),
    "SpatialDropout2D": lambda: layers.SpatialDropout2D(0.5, name="odd"),
    "GaussianNoise": lambda: layers.GaussianNoise(0.5, name="odd"),
    "GaussianDropout": lambda: layers.GaussianDropout(0.5, name="odd"),
    "AlphaDropout": lambda: layers.AlphaDropout(0.5, name="odd"),
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


def test_statistics_of_each_replicas_batch_are_refused_on_several() -> None:
    normalized = model(layers.BatchNormalization(name="norm"))
    check_replicable(normalized, 1)
    told = refusal(normalized, 2)
    assert "batch statistics of layer norm are kept per replica" in told
    assert "synchronized=True, or train on one replica" in told


def test_statistics_of_the_whole_batch_are_not() -> None:
    check_replicable(model(layers.BatchNormalization(synchronized=True)), 2)
    check_replicable(model(layers.LayerNormalization()), 2)


@pytest.mark.parametrize("kind", DRAWING)
def test_layers_that_draw_are_refused_on_several(kind: str) -> None:
    drawing = model(DRAWING[kind]())
    check_replicable(drawing, 1)
    told = refusal(drawing, 4)
    assert "would draw the same masks in layer odd" in told
    assert "leave it out, or train on one replica" in told


def test_a_dropout_of_nothing_draws_nothing() -> None:
    check_replicable(model(layers.Dropout(0.0)), 2)


@pytest.mark.parametrize("layer", [DRAWING["Dropout"], lambda: layers.BatchNormalization(name="odd")])
def test_layers_deep_inside_are_found(layer: Callable[[], keras.layers.Layer]) -> None:
    deep = model(nested(layer()))
    check_replicable(deep, 1)
    assert "layer odd" in refusal(deep, 2)
