"""Each number against the check called directly, with a seed that isn't the default."""

from collections.abc import Mapping

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.data import sources
from harness.insight.saliency import Maps, bound
from harness.insight.trust import Faithfulness, Trust, assess, assessments, cascade
from harness.insight.trust.controls import chance, edges
from harness.insight.trust.faithfulness import faithfulness
from harness.insight.trust.stability import stability

SEED = 3
METHODS = {name: bound(name) for name in ("gradient", "gradcam", "smoothgrad")}
FEW = [29 * number // 15 for number in range(16)]
"""16 of 30, evenly spread, with the first and the last."""


@pytest.fixture(scope="module")
def many() -> NDArray[np.uint8]:
    """30 real test images, more than are explained again."""
    return sources.load("mnist").x_test[:30]


@pytest.fixture(scope="module")
def labels(trained: keras.Model, many: NDArray[np.uint8]) -> NDArray[np.int64]:
    classes: NDArray[np.int64] = trained.predict_on_batch(many.astype(np.float32)).argmax(axis=1)
    return classes


@pytest.fixture(scope="module")
def maps(trained: keras.Model, many: NDArray[np.uint8], labels: NDArray[np.int64]) -> dict[str, Maps]:
    return {name: method(trained, many, labels) for name, method in METHODS.items()}


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def trust(
    trained: keras.Model, many: NDArray[np.uint8], labels: NDArray[np.int64], maps: Mapping[str, Maps], told: list[str]
) -> Trust:
    return assess(trained, METHODS, many, labels, maps, seed=SEED, progress=told.append)


def assert_same(found: Faithfulness, expected: Faithfulness) -> None:
    for kind in ("deletion", "insertion"):
        for baseline, curves in getattr(expected, kind).items():
            np.testing.assert_array_equal(getattr(found, kind)[baseline].moved_at, curves.moved_at)
            np.testing.assert_allclose(getattr(found, kind)[baseline].values, curves.values, rtol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_faithfulness_is_of_all_images(
    trust: Trust,
    trained: keras.Model,
    many: NDArray[np.uint8],
    labels: NDArray[np.int64],
    maps: Mapping[str, Maps],
    name: str,
) -> None:
    expected = faithfulness(trained, maps[name], many, labels, seed=SEED)
    assert_same(trust.methods[name].faithfulness, expected)


def test_the_controls_are_chance_and_edges(
    trust: Trust, trained: keras.Model, many: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    assert list(trust.controls) == ["random", "edges"]
    drawn = {"random": chance(trained, many, labels, seed=SEED), "edges": edges(trained, many, labels)}
    for name, control in drawn.items():
        assert_same(trust.controls[name], faithfulness(trained, control, many, labels, seed=SEED))


def test_sanity_is_of_some_images_evenly_spread(
    trust: Trust, trained: keras.Model, many: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    expected = cascade(trained, METHODS, many[FEW], labels[FEW], seed=SEED)
    assert list(trust.methods) == list(METHODS)
    for name, of in trust.methods.items():
        assert of.sanity.layers == expected[name].layers
        for kind in ("signed", "absolute", "foreground", "ssim", "own", "shared"):
            np.testing.assert_allclose(getattr(of.sanity, kind), getattr(expected[name], kind), atol=1e-5)


def test_stability_is_of_the_same_images(
    trust: Trust,
    trained: keras.Model,
    many: NDArray[np.uint8],
    labels: NDArray[np.int64],
    maps: Mapping[str, Maps],
) -> None:
    few = {name: of[FEW] for name, of in maps.items()}
    expected = stability(trained, METHODS, many[FEW], labels[FEW], few, drawing={"smoothgrad"}, seed=SEED)
    for name, of in trust.methods.items():
        for kind in ("absolute", "own"):
            np.testing.assert_allclose(getattr(of.stability, kind), getattr(expected[name], kind), atol=1e-4)
        assert (of.stability.redrawn is None) == (name != "smoothgrad")


def test_progress_is_told_as_often_as_announced(trust: Trust, trained: keras.Model, told: list[str]) -> None:
    assert len(told) == assessments(trained)
    assert list(dict.fromkeys(told)) == ["deletion and insertion", "sanity check", "stability"]
