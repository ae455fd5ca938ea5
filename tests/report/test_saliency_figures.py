from typing import get_args

import numpy as np

from harness.config.insight import Method
from harness.insight.saliency import METHODS
from harness.report.saliency_figures import saliency_picture


def test_every_method_of_the_config_can_be_computed_and_drawn() -> None:
    assert set(get_args(Method)) == set(METHODS)
    random = np.random.default_rng(0)
    picture = saliency_picture(
        "saliency-correct",
        "Saliency maps",
        random.integers(0, 256, (3, 8, 8, 1), dtype=np.uint8),
        rows=np.array([17, 42, 3]),
        labels=np.array([0, 1, 1], np.int32),
        probabilities=np.array([[0.9, 0.1], [0.2, 0.8], [0.99999, 0.00001]], np.float32),
        maps={method: random.random((3, 8, 8), np.float32) for method in METHODS},
    )
    assert "test image 17: true 0, predicted 0; test image 42: true 1, predicted 1" in picture.alt
    assert picture.alt.endswith("test image 3: true 1, predicted 0.")
    assert "Gradient × input, SmoothGrad, Integrated, Grad-CAM" in picture.alt


def test_a_signed_map_has_its_zero_in_the_middle_of_the_colours() -> None:
    def drawn(method: str, sign: int) -> bytes:
        return saliency_picture(
            "saliency-correct",
            "Saliency maps",
            np.zeros((1, 2, 2, 1), np.uint8),
            rows=np.array([0]),
            labels=np.array([0], np.int32),
            probabilities=np.array([[0.9, 0.1]], np.float32),
            maps={method: sign * np.array([[[0.0, 1.0], [0.5, 0.0]]], np.float32)},
        ).png

    assert drawn("integrated_gradients", 1) != drawn("integrated_gradients", -1)
    assert drawn("gradient", 1) != drawn("integrated_gradients", 1)


def test_each_map_is_scaled_to_its_own_largest_value() -> None:
    maps = np.array([[[0.0, 1.0]], [[0.0, 1000.0]]], np.float32)
    shown = [
        saliency_picture(
            "saliency-correct",
            "Saliency maps",
            np.zeros((1, 1, 2, 1), np.uint8),
            rows=np.array([0]),
            labels=np.array([0], np.int32),
            probabilities=np.array([[0.9, 0.1]], np.float32),
            maps={"gradient": values[np.newaxis]},
        ).png
        for values in maps
    ]
    assert shown[0] == shown[1]
