import io
from typing import Any, get_args

import numpy as np
import pytest
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from harness.config.insight import Method
from harness.insight.saliency import METHODS
from harness.page.picture import SIGNED, UNSIGNED, Picture
from harness.report.saliency_figures import saliency_picture

SURE = np.array([[0.9, 0.1]], np.float32)
MAP_LEFT, MAP_TOP = 195, 48
"""In pixels of the picture."""


def picture_of(image: NDArray[np.uint8], maps: dict[str, NDArray[np.float32]], **other: Any) -> Picture:
    """Of one image and its maps, (height, width)."""
    values = {"names": ["test image 0"], "labels": [0], "probabilities": SURE, **other}
    batched = {method: of[np.newaxis] for method, of in maps.items()}
    return saliency_picture("saliency-correct", "Saliency maps", image[np.newaxis], maps=batched, **values)


def pixels(picture: Picture) -> NDArray[np.int64]:
    return np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB")).astype(np.int64)


def colour(name: str, place: float) -> NDArray[np.float64]:
    return 255 * np.array(colormaps[name](place)[:3])


def test_every_method_of_the_config_can_be_computed_and_drawn() -> None:
    assert set(get_args(Method)) == set(METHODS)
    random = np.random.default_rng(0)
    picture = saliency_picture(
        "saliency-correct",
        "Saliency maps",
        random.integers(0, 256, (3, 8, 8, 1), dtype=np.uint8),
        names=["test image 17", "validation image 42", "my $5 digit, with a name far longer than there is room.png"],
        labels=[0, 1, None],
        probabilities=np.array([[0.9, 0.1], [0.8, 0.2], [0.99999, 0.00001]], np.float32),
        maps={method: random.random((3, 8, 8), np.float32) for method in METHODS},
    )
    for fact in (
        "test image 17: true 0, predicted 0",
        "validation image 42: true 1, predicted 0",
        "my $5 digit",
        "there is room.png: predicted 0",
        "Gradient × input, SmoothGrad, Integrated, Contrast, LRP, Occlusion, RISE, Grad-CAM",
    ):
        assert fact in picture.alt


@pytest.mark.parametrize("sign", [1, -1])
def test_a_signed_map_has_its_zero_in_the_middle_of_the_colours(sign: int) -> None:
    values = sign * np.array([[0.0, 1.0], [0.5, 0.0]], np.float32)
    drawn = pixels(picture_of(np.zeros((2, 2, 1), np.uint8), {"integrated_gradients": values}))
    for (row, column), value in np.ndenumerate(values):
        shown = drawn[MAP_TOP + 20 + 40 * row, MAP_LEFT + 20 + 40 * column]
        np.testing.assert_allclose(shown, colour(SIGNED, float(1 + value) / 2), atol=2)
        assert np.ptp(shown) <= 3 or value != 0, "zero is neutral"


def test_each_map_is_scaled_to_its_own_largest_value() -> None:
    maps = np.array([[[0.0, 1.0]], [[0.0, 1000.0]]], np.float32)
    shown = [picture_of(np.zeros((1, 2, 1), np.uint8), {"gradient": values}).png for values in maps]
    assert shown[0] == shown[1]


@pytest.mark.parametrize(("height", "width"), [(10, 20), (20, 10), (10, 10)])
def test_maps_keep_the_shape_of_their_image(height: int, width: int) -> None:
    ones = np.ones((height, width), np.float32)
    drawn = pixels(picture_of(np.zeros((height, width, 1), np.uint8), {"gradient": ones}))
    brightest = np.all(np.abs(drawn - colour(UNSIGNED, 1.0)) <= 2, axis=-1)
    rows, columns = (np.flatnonzero(brightest[: MAP_TOP + 84].any(axis=axis)) for axis in (1, 0))
    assert max(len(rows), len(columns)) == pytest.approx(82, abs=2)
    assert len(rows) / len(columns) == pytest.approx(height / width, rel=0.06)


@pytest.mark.slow
def test_names_of_classes_make_room_for_themselves_up_to_a_limit() -> None:
    names = [("cat", "dog"), ("Norwegian forest cat", "dog"), ("W" * 40, "dog"), ("W" * 400, "dog")]
    plain, *named = (
        picture_of(np.zeros((2, 2, 1), np.uint8), {"gradient": np.ones((2, 2), np.float32)}, class_names=of)
        for of in ((), *names)
    )
    widths = [pixels(picture).shape[1] for picture in (plain, *named)]
    assert widths[0] <= widths[1] < widths[2] <= widths[3] == widths[4]
    assert [picture.alt.split("test image 0: ")[1] for picture in named[:2]] == [
        "true 0 cat, predicted 0 cat.",
        "true 0 Norwegian forest cat, predicted 0 Norwegian forest cat.",
    ]
    left_edge = pixels(named[-1])[:, 0]
    assert (left_edge == 255).all(), "nothing is cut off"
