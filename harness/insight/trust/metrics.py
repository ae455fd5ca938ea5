"""The published metrics of a method's maps, with their definitions, as a table for JSON."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.saliency import Explain, Maps
from harness.insight.trust.f_fidelity import f_fidelity
from harness.insight.trust.infidelity import infidelity
from harness.insight.trust.interval import CORRELATION, PROBABILITY, SIZE, Interval, mean_over_images
from harness.insight.trust.max_sensitivity import max_sensitivity
from harness.insight.trust.road import road
from harness.insight.trust.smprt import smprt


@dataclass(frozen=True)
class Metric:
    """What a metric is, and how to read its values."""

    definition: str
    better: Literal["lower", "higher"]
    bounds: tuple[float, float]
    """Between which values an image's can be."""


MEASUREMENTS = 5
"""How many times `measure` calls `progress`, or once less without training images."""
_FALL = (-1.0, 1.0)
"""Of a probability."""
METRICS: Mapping[str, Metric] = {
    "road_most_first": Metric(
        "ROAD (Rong et al. 2022, arXiv 2202.00449): share of images still predicted alike, mean over 10 to 90 % of the "
        "pixels removed, the most important first, and filled in by noisy linear imputation (noise 0.01 of the range)",
        "lower",
        PROBABILITY,
    ),
    "road_least_first": Metric(
        "ROAD (Rong et al. 2022, arXiv 2202.00449): the same, the least important pixels first",
        "higher",
        PROBABILITY,
    ),
    "infidelity": Metric(
        "Infidelity (Yeh et al. 2019, arXiv 1901.09392, definition 2.1) in squared logits: 100 squares of up to half "
        "the image blackened, the map's sum over each against the fall of the logit, at the image's best scale",
        "lower",
        SIZE,
    ),
    "max_sensitivity": Metric(
        "Max-sensitivity (Yeh et al. 2019, arXiv 1901.09392, section 4): the largest change of the map, as a share of "
        "its L2 norm, among 10 copies with uniform noise of at most 0.02 of the pixel range",
        "lower",
        SIZE,
    ),
    "smprt": Metric(
        "Smooth MPRT (Hedström et al. 2024, arXiv 2401.06465): Spearman's correlation of |mean map over 10 copies in "
        "noise of 0.1 of the image's range| before and after the weights are drawn anew, mean over the cascade from "
        "the first layer up",
        "lower",
        CORRELATION,
    ),
    "f_fidelity_important": Metric(
        "F-Fidelity (Zheng et al. 2024, arXiv 2410.02970), FFid⁺ with α = 0.5 and β = 0.1: fall of the label's "
        "probability, of the model fine-tuned with random masks, without some of the important pixels; mean over sizes "
        "from 5 to 95 %",
        "higher",
        _FALL,
    ),
    "f_fidelity_others": Metric(
        "F-Fidelity (Zheng et al. 2024, arXiv 2410.02970), FFid⁻: the same, without some of the other pixels",
        "lower",
        _FALL,
    ),
}


def measure(
    logits: keras.Model,
    methods: Mapping[str, Explain],
    images: NDArray[Any],
    labels: NDArray[Any],
    maps: Mapping[str, Maps],
    training: tuple[Any, NDArray[Any]] | None = None,
    *,
    seed: int = 0,
    progress: Callable[[str], None] = lambda metric: None,
) -> dict[str, dict[str, Interval]]:
    """Every metric of every method, by metric and then method: means over images with their intervals,
    which stay within the metric's bounds.

    Args:
        logits: functional; unchanged in the end.
        methods: by name.
        images: (n, height, width, channels) pixels.
        labels: (n,), what the model predicts.
        maps: by method, of these images and labels.
        training: images and true labels for the fine-tuning of F-Fidelity, which is left out without them.
        progress: is given what is being measured, as it begins.
    """
    values: dict[str, dict[str, NDArray[Any]]] = {}
    progress("ROAD")
    roads = {name: road(logits, of, images, labels, seed=seed) for name, of in maps.items()}
    values["road_most_first"] = {name: of.most_first.kept.mean(axis=1) for name, of in roads.items()}
    values["road_least_first"] = {name: of.least_first.kept.mean(axis=1) for name, of in roads.items()}
    progress("infidelity")
    values["infidelity"] = {name: infidelity(logits, of, images, labels, seed=seed) for name, of in maps.items()}
    progress("max-sensitivity")
    values["max_sensitivity"] = {
        name: max_sensitivity(logits, method, maps[name], images, labels, seed=seed) for name, method in methods.items()
    }
    progress("smooth MPRT")
    values["smprt"] = smprt(logits, methods, images, labels, seed=seed)
    if training is not None:
        progress("F-Fidelity")
        found = f_fidelity(logits, maps, images, labels, training, seed=seed)
        values["f_fidelity_important"] = {name: of.important for name, of in found.items()}
        values["f_fidelity_others"] = {name: of.others for name, of in found.items()}
    return {
        metric: {name: mean_over_images(of, METRICS[metric].bounds) for name, of in each.items()}
        for metric, each in values.items()
    }


def metrics_json(measured: Mapping[str, Mapping[str, Interval]]) -> dict[str, Any]:
    """As JSON values: by metric its definition, whether "lower" or "higher" is better, and each method's interval.

    What is not known is None.
    """
    return {
        metric: {
            "definition": METRICS[metric].definition,
            "better": METRICS[metric].better,
            "methods": {
                name: {key: round(value, 6) if np.isfinite(value) else None for key, value in of._asdict().items()}
                for name, of in each.items()
            },
        }
        for metric, each in measured.items()
    }
