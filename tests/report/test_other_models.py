"""The page of models of other kinds than the one that ships."""

import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from harness.config.insight import InsightSection
from harness.report.visualization import visualize_model

INSIGHT = InsightSection(images=2, methods=["gradient", "gradcam"])


def model_of(channels: int, head: Callable[[keras.KerasTensor], keras.KerasTensor]) -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, channels))
    x = layers.RandomFlip("horizontal", seed=0)(image)
    x = layers.BatchNormalization()(layers.Conv2D(3, 3, activation="relu")(x))
    return keras.Model(image, head(layers.Flatten()(x)))


def seen(model: keras.Model, channels: int, classes: int, folder: Path) -> tuple[dict[str, object], str]:
    """What insight.json and the page say."""
    random = np.random.default_rng(0)
    images = random.random((12, 8, 8, channels), np.float32)
    np.savez(folder / "data.npz", images=images, labels=random.integers(0, classes, 12))
    model.save(folder / "model.keras")
    page = visualize_model(folder / "model.keras", folder / "data.npz", folder / "out", insight=INSIGHT)
    return json.loads((folder / "out" / "insight.json").read_text()), page.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "classes"),
    [
        (layers.Dense(1), 2),
        (layers.Dense(1, activation="sigmoid"), 2),
        (layers.Dense(4, activation="sigmoid"), 4),
    ],
    ids=["one logit", "one sigmoid", "four sigmoids"],
)
def test_sigmoids_are_seen_through(head: layers.Layer, classes: int, tmp_path: Path) -> None:
    model = model_of(3, head)
    told, _ = seen(model, 3, classes, tmp_path)
    images = np.load(tmp_path / "data.npz")["images"]
    expected = model.predict(images, verbose=0)
    if expected.shape[1] == 1:
        expected = np.concatenate([1 - expected, expected], axis=1)
    if head.activation is keras.activations.linear:
        z = model.predict(images, verbose=0)[:, 0]
        expected = np.stack([1 / (1 + np.exp(z)), 1 / (1 + np.exp(-z))], axis=1)
    for image in told["images"]:  # type: ignore[attr-defined]
        of_image = expected[image["row"]]
        assert image["predicted"] == of_image.argmax()
        assert image["probability"] == pytest.approx(of_image.max(), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [4, 13])
def test_of_many_bands_it_is_said_which_are_shown(channels: int, tmp_path: Path) -> None:
    _, page = seen(model_of(channels, layers.Dense(3)), channels, 3, tmp_path)
    assert f"The first three of {channels} channels are shown as red, green and blue" in page
