from collections.abc import Callable

import numpy as np
import pytest

from harness.comparison.maps import MapPair, pairs
from harness.config.insight import InsightSection
from harness.data import sources
from harness.errors import UserError
from harness.models.cnn import build
from harness.report.evaluated_model import EvaluatedModel, of_model

MNIST = sources.load("mnist")
IMAGES, LABELS = MNIST.x_test[:3], MNIST.y_test[:3]
FEW = sources.DataSet(MNIST.x_train[:10], MNIST.y_train[:10], IMAGES, LABELS)


@pytest.fixture(scope="module")
def evaluated() -> Callable[[int], EvaluatedModel]:
    """An untrained model of that seed."""
    return lambda seed: of_model(f"seed-{seed}", build("cnn", (28, 28, 1), 10, seed), FEW)


@pytest.mark.slow
def test_a_model_is_like_itself_and_less_like_another(evaluated: Callable[[int], EvaluatedModel]) -> None:
    # In conv_3 Grad-CAM has four values, which may all be zero in both.
    insight = InsightSection(methods=["gradient", "gradcam"], layer="conv_2")
    told: list[str] = []
    same = pairs(evaluated(0), evaluated(0), insight, IMAGES, LABELS, told.append)
    other = pairs(evaluated(0), evaluated(1), insight, IMAGES, LABELS, told.append)
    assert told == ["gradient", "gradcam"] * 2
    for method in ("gradient", "gradcam"):
        assert np.array_equal(same[method].a, same[method].b)
        assert same[method].likeness == pytest.approx(1.0)
        assert np.array_equal(same[method].a, other[method].a)
        assert (other[method].likeness < 0.99).all()
        assert same[method].own == pytest.approx(1.0)
        assert (other[method].own < 0.9).all()


def test_maps_that_share_their_place_have_nothing_of_their_own_in_common() -> None:
    draw = np.random.default_rng(0)
    place, a, b = (draw.random(shape).astype(np.float32) for shape in ((1, 14, 14), (12, 14, 14), (12, 14, 14)))
    found = MapPair.of(5 * place + a, 5 * place + b)
    assert found.likeness.mean() > 0.9
    assert found.across.mean() == pytest.approx(found.likeness.mean(), abs=0.02)
    assert found.own.mean() == pytest.approx(0, abs=0.1)


def test_one_image_has_a_correlation_and_nothing_to_hold_it_against() -> None:
    maps = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    found = MapPair.of(maps, maps)
    assert found.likeness == pytest.approx(1)
    assert np.isnan([found.across, found.own]).all()


def test_a_layer_that_one_lacks_is_told_with_its_name(evaluated: Callable[[int], EvaluatedModel]) -> None:
    insight = InsightSection(methods=["gradcam"], layer="conv_9")
    with pytest.raises(UserError, match=r"insight\.layer: seed-0: .*'conv_9'.* conv_1, pool_1, conv_2"):
        pairs(evaluated(0), evaluated(1), insight, IMAGES, LABELS, lambda name: None)
