import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.page.tiles import image_tile, map_tile


def pixels(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_an_image_keeps_its_pixels() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4, 1) * 20
    assert np.array_equal(pixels(image_tile(image)), np.repeat(image, 3, axis=2))


def test_a_signed_map_is_symmetric_about_zero() -> None:
    red, white, blue = (pixels(map_tile(np.array([[2.0, 0.0, -1.0]], np.float32), signed=True))[0, i] for i in range(3))
    assert red[0] > red[2]
    assert white.min() > 240
    assert blue[2] > blue[0]
    assert int(blue.min()) > int(red.min()), "half as strong as the red"


def test_an_unsigned_map_goes_from_dark_to_its_own_largest_value() -> None:
    values = np.array([[0.0, 0.5, 1.0]], np.float32)
    small, large = pixels(map_tile(values, signed=False)), pixels(map_tile(1000 * values, signed=False))
    assert np.array_equal(small, large)
    assert small[0].sum(axis=1).tolist() == sorted(small[0].sum(axis=1).tolist())
    assert small[0, 0].max() < 10
    assert pixels(map_tile(0 * values, signed=False)).max() < 10


def test_a_large_image_is_averaged_and_a_small_one_is_not() -> None:
    assert pixels(image_tile(np.zeros((300, 200, 3), np.uint8))).shape == (100, 67, 3)
    assert pixels(image_tile(np.zeros((128, 100, 3), np.uint8))).shape == (128, 100, 3)
