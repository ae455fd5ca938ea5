import keras
import numpy as np

from harness.insight.saliency import bound
from harness.insight.trust import assess, assessments


def test_every_method_is_put_through_every_check_and_progress_is_told(
    trained: keras.Model, digits: np.ndarray, predicted: np.ndarray
) -> None:
    methods = {name: bound(name) for name in ("gradient", "gradcam")}
    maps = {name: method(trained, digits[:6], predicted[:6]) for name, method in methods.items()}
    told: list[str] = []
    trust = assess(trained, methods, digits[:6], predicted[:6], maps, progress=told.append)
    assert list(trust.methods) == ["gradient", "gradcam"]
    assert list(trust.controls) == ["random", "edges"]
    assert len(told) == assessments(trained)
    assert dict.fromkeys(told) == dict.fromkeys(["deletion and insertion", "sanity check", "stability"])
    for of in trust.methods.values():
        assert of.faithfulness.deletion["black"].values.shape == (6, 29)
        assert len(of.sanity.layers) == 5
        assert 0 < of.stability.mean <= 1
