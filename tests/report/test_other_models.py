"""The page of models of other kinds than the one that ships."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from harness.config.insight import InsightSection
from harness.report.visualization import visualize_model


def model_of(channels: int, head: Callable[[keras.KerasTensor], keras.KerasTensor]) -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, channels))
    x = layers.RandomFlip("horizontal", seed=0)(image)
    x = layers.BatchNormalization()(layers.Conv2D(3, 3, activation="relu")(x))
    return keras.Model(image, head(layers.Flatten()(x)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "classes", "channels", "looks"),
    [
        (layers.Dense(1), 2, 4, {"methods": ["gradient"]}),
        (layers.Dense(1, activation="sigmoid"), 2, 3, {"methods": ["gradient"], "filters": False}),
        (layers.Dense(4, activation="sigmoid"), 4, 13, {"methods": ["gradient", "gradcam"]}),
    ],
    ids=["one logit, 4 bands", "one sigmoid", "four sigmoids, 13 bands"],
)
def test_sigmoids_are_seen_through_and_of_many_bands_it_is_said_which_are_shown(
    head: layers.Layer, classes: int, channels: int, looks: dict[str, Any], tmp_path: Path
) -> None:
    model = model_of(channels, head)
    random = np.random.default_rng(0)
    images = random.random((12, 8, 8, channels), np.float32)
    np.savez(tmp_path / "data.npz", images=images, labels=random.integers(0, classes, 12))
    model.save(tmp_path / "model.keras")
    insight = InsightSection(images=2, **looks)
    page = visualize_model(tmp_path / "model.keras", tmp_path / "data.npz", tmp_path / "out", insight=insight)

    expected = model.predict(images, verbose=0)
    if expected.shape[1] == 1:
        expected = np.concatenate([1 - expected, expected], axis=1)
    if head.activation is keras.activations.linear:
        z = model.predict(images, verbose=0)[:, 0]
        expected = np.stack([1 / (1 + np.exp(z)), 1 / (1 + np.exp(-z))], axis=1)
    for image in json.loads((tmp_path / "out" / "insight.json").read_text())["images"]:
        of_image = expected[image["row"]]
        assert image["predicted"] == of_image.argmax()
        assert image["probability"] == pytest.approx(of_image.max(), abs=1e-4)

    bands = f"The first three of {channels} channels are shown as red, green and blue"
    assert (bands in page.read_text()) == (channels > 3)
