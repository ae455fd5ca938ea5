"""`harness visualize` of images as large as ImageNet's."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from tests.conftest import Result

SIDE = 224


def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    maps = pixels = keras.Input((SIDE, SIDE, 3))
    maps = layers.Rescaling(1 / 255)(maps)
    maps = layers.Conv2D(3, 7, strides=4, activation="relu", name="coarse")(maps)
    maps = layers.Conv2D(3, 3, strides=4, activation="relu", name="coarser")(maps)
    return keras.Model(pixels, layers.Dense(3)(layers.GlobalAveragePooling2D()(maps)))


def squares(count: int) -> np.ndarray:
    """On a gradient of grey, a square of each image's own colour and place."""
    random = np.random.default_rng(0)
    images = np.broadcast_to(np.linspace(40, 120, SIDE)[:, np.newaxis, np.newaxis], (count, SIDE, SIDE, 3)).copy()
    for image in images:
        top, left = random.integers(20, SIDE - 100, 2)
        image[top : top + 80, left : left + 80] = random.integers(0, 256, 3)
    return images.astype(np.uint8)


@pytest.mark.slow
def test_images_of_224_by_224_are_explained_and_pictured(call: Callable[..., Result], tmp_path: Path) -> None:
    model().save(tmp_path / "large.keras")
    np.savez(tmp_path / "squares.npz", images=squares(6), labels=np.arange(6) % 3)
    asked = ["--model", tmp_path / "large.keras", "--data", tmp_path / "squares.npz", "--out", tmp_path / "out"]
    few = ["--no-filters", "--set", "insight.images=1", "--set", "insight.methods=[gradcam]"]
    result = call("visualize", *asked, *few)
    assert result.exit_code == 0, result.stderr

    told = json.loads((tmp_path / "out" / "insight.json").read_text())
    assert [image["chosen"] for image in told["images"]] == [
        "drawn from the right ones",
        "most confident mistakes",
        "least sure",
    ]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Grad-CAM looks at the layer coarser, 14×14 cells" in page
    data = json.loads(page.partition('id="gallery-data">')[2].partition("</script>")[0])
    drawn = [drawn for example in data["examples"] for drawn in example["maps"]["gradcam"].values()]
    assert len(drawn) == 5
    assert all(of["shape"] == [56, 56] for of in drawn), "16 pixels in one, to keep the page small"
    values = [np.frombuffer(base64.b64decode(of["values"]), np.uint8).reshape(56, 56) for of in drawn]
    assert all(len(np.unique(of)) > 5 for of in values)
    assert len(page) < 1e6
