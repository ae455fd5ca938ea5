"""Each number against the check called directly, with a seed that isn't the default."""

from collections.abc import Mapping
from functools import partial

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.data import sources
from harness.insight.saliency import Explain, Maps, bound, cam_cells, smoothgrad, views
from harness.insight.trust import Trust, assess, assessments, cascade
from harness.insight.trust.beyond import against_controls, control_curves
from harness.insight.trust.class_sensitivity import ClassSensitivity, class_sensitivity
from harness.insight.trust.controls import brightness, centre, chance, edges
from harness.insight.trust.faithfulness import Faithfulness, deletion_to_black, faithfulness
from harness.insight.trust.stability import stability

pytestmark = pytest.mark.slow

SEED = 3
METHODS: dict[str, Explain] = {
    "gradient": bound("gradient"),
    "gradcam": bound("gradcam"),
    "smoothgrad": partial(smoothgrad, samples=3),
}
FEW = [33 * number // 15 for number in range(16)]
HELD = [33 * number // 31 for number in range(32)]
"""16 and 32 of 34, evenly spread, with the first and the last."""


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Its last feature maps are of 3×3 cells, of which pooling leaves 2×2."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((14, 14, 1))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="first")(keras.layers.Rescaling(1 / 255)(pixels))
    x = keras.layers.Conv2D(5, 2, activation="relu", name="last")(keras.layers.MaxPooling2D(3)(x))
    x = keras.layers.Flatten()(keras.layers.MaxPooling2D()(x))
    return keras.Model(pixels, keras.layers.Dense(4, name="logits")(x))


@pytest.fixture(scope="module")
def many() -> NDArray[np.uint8]:
    """34 real test images, more than are explained again, of half their size."""
    return sources.load("mnist").x_test[:34][:, ::2, ::2]


@pytest.fixture(scope="module")
def labels(model: keras.Model, many: NDArray[np.uint8]) -> NDArray[np.int64]:
    classes: NDArray[np.int64] = model.predict_on_batch(many.astype(np.float32)).argmax(axis=1)
    return classes


@pytest.fixture(scope="module")
def maps(model: keras.Model, many: NDArray[np.uint8], labels: NDArray[np.int64]) -> dict[str, Maps]:
    return {name: method(model, many, labels) for name, method in METHODS.items()}


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def trust(
    model: keras.Model, many: NDArray[np.uint8], labels: NDArray[np.int64], maps: Mapping[str, Maps], told: list[str]
) -> Trust:
    return assess(model, METHODS, many, labels, maps, seed=SEED, progress=told.append)


def assert_same(found: Faithfulness, expected: Faithfulness) -> None:
    for kind in ("deletion", "insertion"):
        for baseline, curves in getattr(expected, kind).items():
            np.testing.assert_array_equal(getattr(found, kind)[baseline].moved_at, curves.moved_at)
            np.testing.assert_allclose(getattr(found, kind)[baseline].values, curves.values, rtol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_faithfulness_is_of_images_evenly_spread_and_deletion_of_all(
    trust: Trust,
    model: keras.Model,
    many: NDArray[np.uint8],
    labels: NDArray[np.int64],
    maps: Mapping[str, Maps],
    name: str,
) -> None:
    expected = faithfulness(model, maps[name][HELD], many[HELD], labels[HELD], seed=SEED)
    assert_same(trust.methods[name].faithfulness, expected)
    others = [number for number in range(34) if number not in HELD]
    rest = deletion_to_black(model, maps[name][others], many[others], labels[others], seed=SEED)
    for rows, of in ((HELD, expected.deletion["black"]), (others, rest)):
        np.testing.assert_array_equal(trust.deletion[name].moved_at[rows], of.moved_at)
        np.testing.assert_allclose(trust.deletion[name].values[rows], of.values, rtol=1e-5)


def test_the_controls_know_nothing_of_the_model(
    trust: Trust, model: keras.Model, many: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    assert set(trust.controls) == {"random", "edges", "brightness", "centre"}
    some = many[HELD], labels[HELD]
    drawn = {
        "random": chance(model, *some, seed=SEED),
        "edges": edges(model, *some),
        "brightness": brightness(model, *some),
        "centre": centre(model, *some),
    }
    for name, control in drawn.items():
        assert_same(trust.controls[name], faithfulness(model, control, *some, seed=SEED))


def test_sanity_is_of_some_images_evenly_spread(
    trust: Trust, model: keras.Model, many: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    expected = cascade(model, METHODS, many[FEW], labels[FEW], seed=SEED)
    assert list(trust.methods) == list(METHODS)
    for name, of in trust.methods.items():
        assert of.sanity.layers == expected[name].layers
        for kind in ("signed", "absolute", "foreground", "ssim", "own", "own_absolute"):
            np.testing.assert_allclose(getattr(of.sanity, kind), getattr(expected[name], kind), atol=1e-5)
        np.testing.assert_allclose(of.sanity.kept.similarity, expected[name].kept.similarity, atol=1e-5)


def test_stability_is_of_the_same_images(
    trust: Trust,
    model: keras.Model,
    many: NDArray[np.uint8],
    labels: NDArray[np.int64],
    maps: Mapping[str, Maps],
) -> None:
    few = {name: of[FEW] for name, of in maps.items()}
    few["gradcam"] = views(METHODS["gradcam"], model, many[FEW], labels[FEW]).compared
    expected = stability(model, METHODS, many[FEW], labels[FEW], few, drawing={"smoothgrad"}, seed=SEED)
    for name, of in trust.methods.items():
        for kind in ("absolute", "own"):
            np.testing.assert_allclose(getattr(of.stability, kind), getattr(expected[name], kind), atol=1e-4)
        assert (of.stability.redrawn is None) == (name != "smoothgrad")


def test_a_method_is_held_against_controls_on_images_evenly_spread(
    trust: Trust, model: keras.Model, many: NDArray[np.uint8], labels: NDArray[np.int64], maps: Mapping[str, Maps]
) -> None:
    some, of_held = (many[HELD], labels[HELD]), {name: of[HELD] for name, of in maps.items()}
    controls = control_curves(model, METHODS, *some, of_held, seed=SEED)
    for name, of in of_held.items():
        ours = faithfulness(model, of, *some, seed=SEED)
        expected = against_controls(ours, controls.of(name), together=len(METHODS))
        assert trust.methods[name].beyond.answer == expected.answer
        control, interval = trust.methods[name].beyond.decisive
        assert control == expected.decisive[0]
        np.testing.assert_allclose(interval, expected.decisive[1], rtol=1e-3, atol=1e-4)


def test_class_sensitivity_is_of_the_predicted_class_and_the_next(
    trust: Trust, model: keras.Model, many: NDArray[np.uint8], labels: NDArray[np.int64], maps: Mapping[str, Maps]
) -> None:
    outputs = model.predict_on_batch(many[FEW].astype(np.float32))
    second = np.argsort(outputs, axis=1)[:, -2]
    for name, method in METHODS.items():
        of = [maps[name][FEW], method(model, many[FEW], second)]
        if name == "gradcam":
            of = [cam_cells(name, model, many[FEW], cls)[:, :2, :2] for cls in (labels[FEW], second)]
        expected = class_sensitivity(*of)
        found = trust.methods[name].class_sensitivity
        assert isinstance(found, ClassSensitivity)
        np.testing.assert_allclose(found.between_classes, expected.between_classes, atol=1e-5)
        np.testing.assert_allclose(found.between_images, expected.between_images, atol=1e-5)


def test_progress_is_told_as_often_as_announced(trust: Trust, model: keras.Model, told: list[str]) -> None:
    assert len(told) == assessments(model)
    assert list(dict.fromkeys(told)) == [
        "deletion and insertion",
        "controls",
        "another class",
        "sanity check",
        "stability",
    ]
