import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.inference import batches, images_at_once


def model_for(size: int) -> keras.Model:
    pixels = keras.Input((size, size, 1))
    return keras.Model(pixels, keras.layers.Conv2D(64, 3)(pixels))


def test_the_larger_the_maps_the_fewer_images_go_at_once() -> None:
    assert images_at_once(model_for(8)) == 250
    assert 1 < images_at_once(model_for(224)) < 10
    assert images_at_once(model_for(3000)) == 1


def test_every_image_comes_once_and_in_order(images: NDArray[np.uint8]) -> None:
    many = np.concatenate([images] * 50)
    parts = list(batches(model_for(28), many))
    assert [first for first, _ in parts] == [0, 250]
    np.testing.assert_array_equal(np.concatenate([batch for _, batch in parts]), many)
