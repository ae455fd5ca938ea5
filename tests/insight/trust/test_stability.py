from functools import partial
from inspect import signature

import keras
import numpy as np
import pytest

from harness.insight.saliency import METHODS, Maps, bound
from harness.insight.trust.controls import chance, edges
from harness.insight.trust.stability import stability


def constant(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> Maps:
    return np.ones(images.shape[:3], np.float32)


def test_noise_maps_are_unstable_and_constant_ones_are_not(
    trained: keras.Model, digits: np.ndarray, predicted: np.ndarray
) -> None:
    methods = {"chance": chance, "constant": constant, "edges": edges, "gradient": bound("gradient")}
    maps = {name: method(trained, digits, predicted) for name, method in methods.items()}
    found = stability(trained, methods, digits, predicted, maps)
    assert abs(found["chance"].absolute.mean) < 0.05
    assert found["constant"].absolute.mean == 1
    assert 0.3 < found["gradient"].absolute.mean < 1
    for of in (found["gradient"].absolute, found["gradient"].own):
        assert of.low < of.mean < of.high
    assert [found[name].stable for name in ("chance", "constant", "edges")] == ["no", "yes", "yes"]
    assert found["gradient"].null == pytest.approx(0, abs=0.05)
    assert all(of.redrawn is None for of in found.values())


def test_what_a_method_draws_is_drawn_anew(trained: keras.Model, digits: np.ndarray, predicted: np.ndarray) -> None:
    """A map of few samples differs from itself by another seed, and no less from that of a noisy copy."""
    methods = {name: partial(METHODS["smoothgrad"].explain, samples=3) for name in ("lent", "fresh")}
    maps = {name: method(trained, digits, predicted) for name, method in methods.items()}
    found = stability(trained, methods, digits, predicted, maps, drawing={"fresh"})
    lent, fresh = found["lent"], found["fresh"]
    assert lent.redrawn is None
    assert fresh.redrawn is not None
    assert lent.absolute.mean > fresh.absolute.mean + 0.05
    assert fresh.absolute.mean == pytest.approx(fresh.redrawn.mean, abs=0.05)


def test_every_method_that_draws_says_so() -> None:
    takes_seed = {name for name, method in METHODS.items() if "seed" in signature(method.explain).parameters}
    assert {name for name, method in METHODS.items() if method.draws} == takes_seed


def test_copies_with_another_prediction_do_not_count(trained: keras.Model, digits: np.ndarray) -> None:
    wrong = (trained.predict_on_batch(digits.astype(np.float32)).argmax(axis=1) + 1) % 10
    maps = {"constant": constant(trained, digits, wrong)}
    assert np.isnan(stability(trained, {"constant": constant}, digits, wrong, maps)["constant"].absolute.mean)


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


def test_each_image_has_noise_of_its_own(trained: keras.Model, digits: np.ndarray) -> None:
    """Seen by a map that is the copy itself, of one image again and again."""
    images = np.repeat(digits[:1], 6, axis=0)
    labels = trained.predict_on_batch(images.astype(np.float32)).argmax(axis=1)
    seen: list[np.ndarray] = []

    def spy(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> Maps:
        seen.append(images)
        return np.zeros(images.shape[:3], np.float32)

    stability(trained, {"spy": spy}, images, labels, {"spy": np.zeros(images.shape[:3], np.float32)})
    assert seen
    for copies in seen:
        assert len(np.unique(copies.reshape(6, -1), axis=0)) == 6


def test_an_interval_holds_for_other_copies_where_a_draw_is_common_to_all_images(
    trained: keras.Model, digits: np.ndarray, predicted: np.ndarray
) -> None:
    """A method whose maps of one copy are all kept and of the next all lost: four draws, and not 24 images, tell."""
    calls: list[int] = []

    def moody(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> Maps:
        calls.append(1)
        return edges(logits, images, labels) if len(calls) % 2 else chance(logits, images, labels)

    maps = {"moody": edges(trained, digits, predicted)}
    found = stability(trained, {"moody": moody}, digits, predicted, maps)["moody"]
    assert found.own.mean == pytest.approx(0.5, abs=0.05)
    assert found.own.high - found.own.low > 0.8
    assert found.stable == "can't tell"
