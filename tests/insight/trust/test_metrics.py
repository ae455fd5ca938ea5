import json

import keras
import numpy as np
import pytest

from harness.insight.saliency import gradient, gradient_times_input
from harness.insight.trust.infidelity import infidelity
from harness.insight.trust.interval import SIZE, Interval, mean_over_images
from harness.insight.trust.metrics import METRICS, measure, metrics_json

METHODS = {"gradient": gradient, "gradient_times_input": gradient_times_input}


@pytest.fixture(scope="module")
def small() -> keras.Model:
    inputs = keras.Input((8, 8, 1))
    hidden = keras.layers.Dense(4, "tanh", name="hidden")(keras.layers.Flatten()(inputs / 255))
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(hidden))


@pytest.mark.slow
def test_every_metric_of_every_method_is_measured_and_told_with_its_definition(small: keras.Model) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1)).astype(np.uint8)
    labels = np.array([0, 1, 2, 0, 1, 2])
    maps = {name: method(small, images, labels) for name, method in METHODS.items()}
    told: list[str] = []
    measured = measure(small, METHODS, images, labels, maps, (images, labels), progress=told.append)
    assert set(measured) == set(METRICS)
    assert len(told) == 5
    expected = mean_over_images(infidelity(small, maps["gradient"], images, labels), SIZE)
    assert measured["infidelity"]["gradient"] == expected
    table = json.loads(json.dumps(metrics_json(measured), allow_nan=False))
    for metric, of in table.items():
        assert of["better"] in ("lower", "higher")
        assert of["definition"] == METRICS[metric].definition
        assert set(of["methods"]) == set(METHODS)
    assert table["infidelity"]["methods"]["gradient"]["mean"] == pytest.approx(expected.mean, rel=1e-4)

    for metric, each in measured.items():
        least, most = METRICS[metric].bounds
        for told_of in each.values():
            assert least <= told_of.low <= told_of.mean <= told_of.high <= most

    without = measure(small, METHODS, images, labels, maps)
    assert set(METRICS) - set(without) == {"f_fidelity_important", "f_fidelity_others"}


def test_what_is_not_known_is_null() -> None:
    told = metrics_json({"smprt": {"gradient": Interval(0.5, np.nan, np.nan)}})
    assert told["smprt"]["methods"]["gradient"] == {"mean": 0.5, "low": None, "high": None}
