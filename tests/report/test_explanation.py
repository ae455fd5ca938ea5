import os
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from harness.config.insight import InsightSection, Method
from harness.errors import DataError, UserError
from harness.insight.saliency import METHODS
from harness.models.logits import pixels_to_logits
from harness.report.evaluated_model import EvaluatedModel, of_run
from harness.report.explanation import Explained, Request, explain, left_out, methods_for
from harness.runs.run_dir import RunDir

INSIGHT = InsightSection(images=4, methods=["gradient", "gradcam"])


@pytest.fixture(scope="module")
def evaluated(unseen_run: RunDir) -> EvaluatedModel:
    return of_run(unseen_run, unseen_run.read_config())


@pytest.fixture(scope="module")
def explained(evaluated: EvaluatedModel) -> Explained:
    return explain(evaluated, INSIGHT, 0, Request(rows=(7, 3), label=5))


def test_a_mistake_is_explained_for_the_true_class_too(explained: Explained) -> None:
    for example in explained.examples:
        predicted = int(example.probabilities.argmax())
        expected = {predicted, example.label} | ({5} if example.kind == "named" else set())
        assert example.targets[0] == predicted
        assert set(example.targets) == expected
        assert len(example.targets) == len(expected)


def test_the_images_asked_for_come_first_and_none_comes_twice(explained: Explained) -> None:
    rows = [example.row for example in explained.examples]
    assert rows[:2] == [7, 3]
    assert len(set(rows)) == len(rows)
    assert {example.kind for example in explained.examples} == {"named", "correct", "mistakes", "unsure"}


def test_every_map_is_the_method_s_of_that_image_and_class(evaluated: EvaluatedModel, explained: Explained) -> None:
    for index in (0, len(explained.examples) - 1):
        example = explained.examples[index]
        for name in ("gradient", "gradcam"):
            for target in example.targets:
                (expected,) = METHODS[name].explain(evaluated.logits, example.image[np.newaxis], np.array([target]))
                np.testing.assert_allclose(explained.maps[name][index][target], expected, rtol=1e-3, atol=1e-6)


def test_a_picture_of_ones_own_has_no_true_class(evaluated: EvaluatedModel, tmp_path: Path) -> None:
    path = tmp_path / "my.png"
    Image.fromarray(255 - np.kron(evaluated.images[0, :, :, 0], np.ones((4, 4), np.uint8))).save(path)
    own = explain(evaluated, INSIGHT, 0, Request(label=2, files=(path,), invert=True)).examples[0]
    assert (own.name, own.kind, own.row, own.label) == ("my.png", "own", None, None)
    assert own.predicted == evaluated.predicted[0]  # it is the first image, inverted and enlarged
    assert set(own.targets) == {own.predicted, 2}


def test_a_picture_s_name_that_is_no_utf8_can_be_shown(evaluated: EvaluatedModel, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"m\xffy.png")
    Image.fromarray(evaluated.images[0, :, :, 0]).save(path)
    assert explain(evaluated, INSIGHT, 0, Request(files=(path,))).examples[0].name == "m\ufffdy.png"


def test_a_class_that_is_not_there_is_refused(evaluated: EvaluatedModel) -> None:
    with pytest.raises(DataError, match=r"--class 10: .*10 classes, 0 to 9"):
        explain(evaluated, INSIGHT, 0, Request(rows=(1,), label=10))


@pytest.mark.parametrize("method", ["gradcam", "gradient"])
def test_an_unknown_layer_is_refused_with_those_there_are(evaluated: EvaluatedModel, method: Method) -> None:
    with pytest.raises(UserError, match=r"insight\.layer: small-run: .*'conv_9'.* conv_1"):
        explain(evaluated, InsightSection(methods=[method], layer="conv_9"), 0, Request())


@pytest.fixture(scope="module")
def flat() -> EvaluatedModel:
    """A model without a convolutional layer."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 1), dtype=np.uint8)
    logits = pixels_to_logits(model, (4, 4, 1))
    return EvaluatedModel("flat", logits, images, np.arange(9, dtype=np.int32) % 3, np.zeros((9, 3), np.float32))


def test_without_a_convolutional_layer_the_methods_that_need_one_are_left_out(flat: EvaluatedModel) -> None:
    explained = explain(flat, INSIGHT, 0, Request())
    assert list(explained.maps) == ["gradient"]
    assert list(explained.left_out) == ["gradcam"]
    assert "no layer with feature maps" in explained.left_out["gradcam"]


def test_guided_backpropagation_is_left_out_where_there_is_no_relu(
    flat: EvaluatedModel, evaluated: EvaluatedModel
) -> None:
    insight = InsightSection(methods=["guided_backpropagation", "gradient"])
    assert list(methods_for(flat, insight)) == ["gradient"]
    assert list(left_out(flat.logits, insight, "flat")) == ["guided_backpropagation"]
    assert "no relu" in left_out(flat.logits, insight, "flat")["guided_backpropagation"]
    assert left_out(evaluated.logits, insight, "cnn") == {}


def test_without_a_method_that_is_left_the_model_is_refused(flat: EvaluatedModel) -> None:
    with pytest.raises(UserError, match=r"insight\.methods: gradcam: .*feature maps"):
        methods_for(flat, InsightSection(methods=["gradcam"]))
