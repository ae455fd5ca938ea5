from typing import Any

import numpy as np
import pytest

from harness.insight.trust.max_sensitivity import max_sensitivity

IMAGES = np.full((3, 4, 4, 1), 100, np.uint8)
LABELS = np.zeros(3, np.int64)


def pixels(logits: Any, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return images[..., 0].astype(np.float32)


def constant(logits: Any, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.ones(images.shape[:3], np.float32)


def test_a_constant_map_has_none() -> None:
    found = max_sensitivity(None, constant, np.ones((3, 4, 4), np.float32), IMAGES, LABELS)
    assert found.tolist() == [0, 0, 0]


def test_by_hand_it_is_the_largest_change_as_a_share_of_the_map() -> None:
    seen: list[np.ndarray] = []

    def remembering(logits: Any, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        seen.append(images)
        return pixels(logits, images, labels)

    found = max_sensitivity(None, remembering, pixels(None, IMAGES, LABELS), IMAGES, LABELS, copies=4)
    changes = [np.sqrt(((copy - IMAGES.astype(np.float64)) ** 2).sum(axis=(1, 2, 3))) for copy in seen]
    assert len(changes) == 4
    np.testing.assert_allclose(found, np.max(changes, axis=0) / (100 * 4), rtol=1e-5)
    assert np.abs(np.array(seen) - 100.0).max() == pytest.approx(5.1, rel=0.05)  # 0.02 · 255, and no farther
    assert np.abs(np.array(seen) - 100.0).max() <= 5.1001
    assert (seen[0] != seen[1]).any()
    assert (seen[0][0] != seen[0][1]).any()


def test_copies_stay_within_the_pixel_range() -> None:
    def within(logits: Any, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        assert images.min() >= 0
        assert images.max() <= 255
        return constant(logits, images, labels)

    images = np.zeros((3, 4, 4, 1), np.uint8)
    images[1] = 255
    max_sensitivity(None, within, np.ones((3, 4, 4), np.float32), images, LABELS)


def test_an_empty_map_has_no_size_to_change_by() -> None:
    assert np.isnan(max_sensitivity(None, constant, np.zeros((3, 4, 4), np.float32), IMAGES, LABELS)).all()
