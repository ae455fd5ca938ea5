import json
import re
import time
from dataclasses import replace
from io import BytesIO

import keras
import numpy as np
import pytest
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from harness.data import sources
from harness.insight.filters import activation_maximization
from harness.page import Section
from harness.report.evaluated_model import EvaluatedModel, outputs_of
from harness.report.filter_figures import feature_maps_picture
from harness.report.filter_plan import plan
from harness.report.filter_sections import filter_sections
from harness.report.filter_study import FilterStudy, study

DEAD, COPIED, COPY = 3, 0, 2


def subject_of(model: keras.Model, images: NDArray[np.uint8], labels: NDArray[np.int32]) -> EvaluatedModel:
    return EvaluatedModel("small", model, images, labels, outputs_of(model, images))


@pytest.fixture(scope="module")
def evaluated() -> EvaluatedModel:
    """Five filters, of which one is dead and one a copy of another; three classes, and no image of the last."""
    keras.utils.set_random_seed(1)
    pixels = keras.Input((28, 28, 1))
    hidden = keras.layers.Conv2D(5, 7, activation="relu", name="first")(keras.layers.Rescaling(1 / 255)(pixels))
    model = keras.Model(pixels, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(hidden)))
    kernel, bias = model.get_layer("first").get_weights()
    kernel[..., COPY] = kernel[..., COPIED]
    bias[DEAD] = -1e6
    model.get_layer("first").set_weights([kernel, bias])
    return subject_of(model, sources.load("mnist").x_test[:30], np.arange(30, dtype=np.int32) % 2)


@pytest.fixture(scope="module")
def found(evaluated: EvaluatedModel) -> FilterStudy:
    return study(evaluated, plan(evaluated, 120), seed=0, seconds=1000)


@pytest.fixture(scope="module")
def sections(evaluated: EvaluatedModel, found: FilterStudy) -> dict[str, Section]:
    return {section.title: section for section in filter_sections(evaluated, found)}


def test_dead_and_duplicated_filters_are_counted_and_named(sections: dict[str, Section]) -> None:
    intro = sections["Filters"].paragraphs[0]
    for fact in ("first: 5 filters", "1 dead (3)", "1 near-duplicate (0 and 2: 1.00)"):
        assert fact in intro
    assert not re.search(r"\d rare", intro)


def test_the_numbers_are_those_of_the_model(evaluated: EvaluatedModel, found: FilterStudy) -> None:
    (layer,) = found.as_json()
    filters = json.loads(json.dumps(found.as_json()))[layer]
    assert [of["filter"] for of in filters] == [0, 1, 2, 3, 4]
    assert [of["dead"] for of in filters] == [False, False, False, True, False]
    assert [of["fires"] > 0 for of in filters] == [True, True, True, False, True]
    assert filters[COPY]["duplicates"] == {"0": 1.0}
    assert filters[COPIED]["duplicates"] == {"2": 1.0}

    kernel, bias = evaluated.logits.get_layer("first").get_weights()
    for of in filters:
        for row, value, (top, bottom, left, right) in zip(of["images"], of["activations"], of["fields"], strict=True):
            seen = evaluated.images[row, top:bottom, left:right, 0] / 255
            assert value == pytest.approx((seen * kernel[..., 0, of["filter"]]).sum() + bias[of["filter"]], rel=1e-4)
        assert of["best_real"] == of["activations"][0]
        assert of["starts"]["lowest"] <= of["starts"]["median"] <= of["starts"]["best"] == of["score"]
        assert of["classes"] == {
            str(label): int((evaluated.labels[of["images"]] == label).sum())
            for label in sorted({0, 1}, key=lambda label: -(evaluated.labels[of["images"]] == label).sum())
            if (evaluated.labels[of["images"]] == label).any()
        }


def test_pictures_tell_in_words_and_numbers_what_they_show(sections: dict[str, Section]) -> None:
    kernels, patches = sections["Filters"].pictures
    for fact in ("5 kernels of 7×7", "layer first"):
        assert fact in kernels.alt
    for fact in ("5 pairs of patches", "7×7 pixels", "filters 0 to 4 of layer first"):
        assert fact in patches.alt
    assert patches.table is not None
    remarks = [row.cells[-1] for row in patches.table.rows]
    assert remarks == ["like 2 (1.00)", "", "like 0 (1.00)", "dead", ""]
    (images,) = sections["What activates each filter"].pictures
    for fact in ("9 test images for each", "filters 0 to 4 of layer first"):
        assert fact in images.alt


def test_the_image_of_a_class_stands_beside_its_best_test_image(
    evaluated: EvaluatedModel, sections: dict[str, Section]
) -> None:
    (picture,) = sections["Class images"].pictures
    logits = evaluated.logits.predict_on_batch(evaluated.images.astype(np.float32))
    best = [int(2 * logits[::2, 0].argmax()), int(2 * logits[1::2, 1].argmax() + 1)]
    assert picture.table is not None
    assert [row.cells[:2] for row in picture.table.rows] == [
        ["0", "made"],
        ["0", f"test #{best[0]}"],
        ["1", "made"],
        ["1", f"test #{best[1]}"],
        ["2", "made"],
    ]
    assert float(str(picture.table.rows[1].cells[2])) == pytest.approx(float(logits[best[0], 0]), abs=6e-4)
    assert picture.alt.endswith("no test image.")


def test_classes_are_called_by_their_names(evaluated: EvaluatedModel, found: FilterStudy) -> None:
    names = ("Norwegian forest cat", "dog", "cow")
    sections = {each.title: each for each in filter_sections(replace(evaluated, class_names=names), found)}
    _, patches = sections["Filters"].pictures
    (activating,), (made,) = sections["What activates each filter"].pictures, sections["Class images"].pictures
    first, *_ = sections["Feature maps"].pictures
    assert patches.table is not None
    assert re.search(r"\d of 0 Norwegian forest cat", str(patches.table.rows[0].cells[-2]))
    assert re.search(r"0: \d of [01] (Norwegian forest cat|dog), 1: ", activating.alt)
    assert "class 2 cow" in made.alt
    assert made.table is not None
    assert [row.cells[0] for row in made.table.rows][::2] == ["0 Norwegian forest cat", "1 dog", "2 cow"]
    assert first.title.endswith("of class 0 Norwegian forest cat")


def test_feature_maps_are_drawn_down_to_their_least_value() -> None:
    def colours(values: list[float]) -> list[list[int]]:
        """Of the maps, which are of one pixel each."""
        maps = np.array(values, np.float32)[:, np.newaxis, np.newaxis]
        picture = feature_maps_picture(
            1, 3, np.zeros((4, 4, 1), np.uint8), {"first": maps}, {"first": range(len(maps))}
        )
        drawn = np.asarray(Image.open(BytesIO(picture.png)).convert("RGB"))
        pixel = (8.6 - 0.65) * 96 / 16  # a map with the gap around it
        return [drawn[185, round(0.55 * 96 + pixel * (index + 0.5))].tolist() for index in range(len(values))]

    def expected(*places: float) -> list[list[int]]:
        return [[round(255 * part) for part in colormaps["magma"](place)[:3]] for place in places]

    np.testing.assert_allclose(colours([-1.0, 0.0, 1.0] + 13 * [0.0])[:3], expected(0.0, 0.5, 1.0), atol=1)
    np.testing.assert_allclose(colours([0.5, 0.0, 1.0] + 13 * [0.0])[:3], expected(0.5, 0.0, 1.0), atol=1)


@pytest.mark.slow
def test_many_filters_are_drawn_64_at_a_time_and_colours_are_shown() -> None:
    keras.utils.set_random_seed(1)
    pixels = keras.Input((24, 20, 3))
    hidden = keras.layers.Conv2D(70, 3, padding="same", name="wide")(keras.layers.Rescaling(1 / 255)(pixels))
    model = keras.Model(pixels, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(hidden)))
    images = np.random.default_rng(0).integers(0, 256, (4, 24, 20, 3), dtype=np.uint8)
    evaluated = subject_of(model, images, np.array([0, 1, 0, 1], np.int32))
    filters, shown, *_ = filter_sections(evaluated, study(evaluated, plan(evaluated, 120), seed=0, seconds=1000))
    assert [picture.name for picture in filters.pictures] == ["filters-kernels", "filters-wide-0", "filters-wide-64"]
    for picture, those in zip(shown.pictures, ("wide, 0 to 63", "wide, 64 to 69"), strict=True):
        assert picture.title.endswith(those)
    drawn = np.asarray(Image.open(BytesIO(filters.pictures[0].png)).convert("RGB")).astype(int)
    assert np.abs(drawn[..., 0] - drawn[..., 2]).max() > 100


@pytest.mark.slow
def test_of_many_classes_only_the_first_20_are_shown_and_the_page_says_so() -> None:
    keras.utils.set_random_seed(1)
    pixels = keras.Input((12, 12, 1))
    hidden = keras.layers.Conv2D(2, 3, name="only")(keras.layers.Rescaling(1 / 255)(pixels))
    model = keras.Model(pixels, keras.layers.Dense(25)(keras.layers.GlobalAveragePooling2D()(hidden)))
    images = np.random.default_rng(0).integers(0, 256, (22, 12, 12, 1), dtype=np.uint8)
    evaluated = subject_of(model, images, np.arange(22, dtype=np.int32) + 3)
    *_, classes, features = filter_sections(evaluated, study(evaluated, plan(evaluated, 120), seed=0, seconds=1000))
    assert "each of the first 20 of 25 classes" in classes.paragraphs[0]
    assert "each of the first 20 of 22 classes" in features.paragraphs[0]
    assert [picture.name for picture in features.pictures] == [f"features-{label}" for label in range(3, 23)]


def test_a_rare_filter_is_named_apart_from_dead_ones_with_its_share() -> None:
    keras.utils.set_random_seed(1)
    pixels = keras.Input((6, 6, 1))
    maps = keras.layers.Conv2D(3, 1, activation="relu", name="conv")(pixels)
    model = keras.Model(pixels, keras.layers.Dense(2)(keras.layers.Flatten()(maps)))
    model.get_layer("conv").set_weights([np.ones((1, 1, 1, 3)), np.array([0.0, -100.0, -250.0])])
    images = np.tile(np.arange(36, dtype=np.uint8).reshape(6, 6, 1), (2000, 1, 1, 1))
    images[7, 2, 2] = 200
    evaluated = subject_of(model, images, np.zeros(2000, np.int32))
    found = study(evaluated, plan(evaluated, 120), seed=0, seconds=1000)
    filters, *_ = filter_sections(evaluated, found)
    for fact in ("conv: 3 filters", "1 dead (2)", "1 rare (1: 0.05%)"):
        assert fact in filters.paragraphs[0]
    assert [of["rare"] for of in found.as_json()["conv"]] == [False, True, False]
    overview = found.overview_json()
    assert (overview["dead"], overview["rare"]) == ({"conv": [2]}, {"conv": {"1": 0.0005}})


def deep(layers: int, filters: int = 12, side: int = 16) -> EvaluatedModel:
    """A model of that many convolutions, and as many images as make two classes."""
    keras.utils.set_random_seed(1)
    hidden = pixels = keras.Input((side, side, 1))
    for number in range(layers):
        hidden = keras.layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv_{number}")(hidden)
    model = keras.Model(pixels, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(hidden)))
    images = np.random.default_rng(0).integers(0, 256, (120, side, side, 1), dtype=np.uint8)
    return subject_of(model, images, np.arange(120, dtype=np.int32) % 2)


@pytest.mark.slow
def test_layers_that_come_after_the_time_are_left_out_and_named() -> None:
    evaluated = deep(3, filters=2)
    found = study(evaluated, plan(evaluated, 10), seed=0, seconds=0.3, progress=lambda what: time.sleep(0.4))
    assert [layer.name for layer in found.layers] == ["conv_0"]
    assert list(found.plan.layers) == ["conv_0", *found.out_of_time]
    assert found.out_of_time
    filters, *_ = filter_sections(evaluated, found)
    assert "insight.budget ran out" in filters.paragraphs[0]
    assert f": {', '.join(found.out_of_time)}" in filters.paragraphs[0]
    assert found.overview_json()["out_of_time"] == list(found.out_of_time)


@pytest.mark.slow
def test_of_a_large_model_some_layers_and_filters_are_shown_by_their_own_numbers() -> None:
    evaluated = deep(13, filters=16)
    steps: list[str] = []
    found = study(evaluated, plan(evaluated, 4), 0, 1000, steps.append)
    assert len(steps) == 2 + len(found.plan.layers) == 2 + len(found.layers)
    assert found.layers[0].name == "conv_0"
    for layer in found.layers:
        assert len(layer.optimal.patches) == len(layer.shown) <= 16
        assert [of["filter"] for of in found.as_json()[layer.name]] == list(layer.shown)
    some = next(layer for layer in found.layers if len(layer.shown) < 16)
    whole = activation_maximization(evaluated.logits, some.name, filters=[some.shown[1]])
    np.testing.assert_allclose(some.optimal.scores[1], whole.scores[0], rtol=1e-4)
    filters, *_, features = filter_sections(evaluated, found)
    for fact in (
        f"{len(found.layers)} of 13 convolutional layers",
        f"{len(some.shown)} of 16 in {some.name}",
        "insight.budget",
    ):
        assert fact in filters.paragraphs[0]
    tables = {picture.name: picture.table for picture in filters.pictures}
    table = tables[f"filters-{some.name}"]
    assert table is not None
    assert [row.cells[0] for row in table.rows] == [str(number) for number in some.shown]
    assert f"{some.name} has {len(some.shown)}" in features.pictures[0].alt
