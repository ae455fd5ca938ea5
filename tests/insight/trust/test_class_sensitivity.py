import numpy as np
import pytest

from harness.insight.trust.class_sensitivity import class_sensitivity, runner_up

N = 8


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((N, 10, 10)).astype(np.float32)


def test_by_hand() -> None:
    maps = np.array([[[1, 2, 3]], [[1, 3, 2]]], np.float32)
    found = class_sensitivity(maps, np.array([[[3, 2, 1]], [[1, 3, 2]]], np.float32))
    assert found.between_classes.mean == pytest.approx((2 + 0) / 2)
    assert found.between_images.mean == pytest.approx(0.5)  # ranks (1, 2, 3) and (1, 3, 2) correlate at 0.5
    assert found.beyond_halfway.mean == pytest.approx(1 - 0.25)


def test_a_map_that_is_the_same_for_every_class_is_not_class_specific() -> None:
    found = class_sensitivity(noise(0), noise(0))
    assert found.between_classes.mean == pytest.approx(0)
    assert found.class_specific == "no"


def test_a_map_that_changes_with_the_class_as_with_the_image_is() -> None:
    assert class_sensitivity(noise(0), noise(1)).class_specific == "yes"


def test_what_all_maps_share_counts_for_neither() -> None:
    common = 10 * np.random.default_rng(2).standard_normal((10, 10)).astype(np.float32)
    by_class = class_sensitivity(common + noise(0), common + noise(1))
    assert by_class.between_classes.mean < 0.1
    assert by_class.class_specific == "yes"
    by_image = class_sensitivity(common + noise(0), common + noise(0) + 0.2 * noise(1))
    assert by_image.class_specific == "no"


def test_a_lone_image_has_no_yardstick() -> None:
    found = class_sensitivity(noise(0)[:1], noise(1)[:1])
    assert np.isnan(found.between_images.mean)
    assert found.class_specific == "can't tell"


def test_the_runner_up_is_the_highest_but_the_label() -> None:
    outputs = np.array([[1, 5, 3], [1, 5, 3], [-1, -2, -3]], np.float32)
    assert runner_up(outputs, np.array([1, 2, 0])).tolist() == [2, 1, 1]
