import keras
import numpy as np
import pytest

from harness.insight.saliency import METHODS, Maps, bound
from harness.insight.trust.controls import chance, constant, edges
from harness.insight.trust.stability import stability


def test_noise_maps_are_unstable_and_constant_ones_are_not(
    trained: keras.Model, digits: np.ndarray, predicted: np.ndarray
) -> None:
    methods = {"chance": chance, "constant": constant, "edges": edges, "gradient": bound("gradient")}
    maps = {name: method(trained, digits, predicted) for name, method in methods.items()}
    found = stability(trained, methods, digits, predicted, maps)
    assert abs(found["chance"].mean) < 0.05
    assert found["constant"].mean == 1
    assert 0.3 < found["gradient"].mean < 1
    assert found["gradient"].low < found["gradient"].mean < found["gradient"].high


def test_copies_with_another_prediction_do_not_count(trained: keras.Model, digits: np.ndarray) -> None:
    wrong = (trained.predict_on_batch(digits.astype(np.float32)).argmax(axis=1) + 1) % 10
    maps = {"constant": constant(trained, digits, wrong)}
    assert np.isnan(stability(trained, {"constant": constant}, digits, wrong, maps)["constant"].mean)


def test_the_noise_is_small_and_stays_within_the_pixels(
    trained: keras.Model, digits: np.ndarray, predicted: np.ndarray
) -> None:
    seen: list[np.ndarray] = []

    def spy(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> Maps:
        seen.append(images)
        return METHODS["gradient"].explain(logits, images, labels)

    stability(trained, {"spy": spy}, digits, predicted, {"spy": np.zeros(digits.shape[:3], np.float32)})
    assert len(seen) == 4
    for noisy in seen:
        assert noisy.min() >= 0
        assert noisy.max() <= 255
        inside = (digits > 30) & (digits < 225)
        assert (noisy - digits)[inside].std() == pytest.approx(0.02 * 255, rel=0.1)
    assert not np.array_equal(seen[0], seen[1])
