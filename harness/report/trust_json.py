"""The checks of the methods as JSON values, and what each number is."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.insight.trust import (
    BeyondControls,
    ClassSensitivity,
    Faithfulness,
    Interval,
    Kept,
    NotAsked,
    Sanity,
    Stability,
    Trust,
    area,
    difference,
)
from harness.report.trust_section import findings, verdict

DEFINITIONS = {
    "answers": "by question the answer, yes, no or can't tell, with its interval: 95 %, Student's t, for all methods "
    "together (Bonferroni). Can't tell where the interval spans the bound, or there are fewer than 5 images",
    "answers.depends_on_weights": "yes where sanity.similarity of the maps, and where they have signs of their "
    "absolute values too, lies below its bound with its whole interval; no where either lies above by the interval "
    "of_both; the interval is that of the one that decides",
    "answers.faithful": "yes where all six gains under beyond lie above 0, no where one lies below by the interval "
    "of_all; the interval is that of the gain that decides, which reaches lowest",
    "answers.class_specific": "yes where the interval, between_classes less half of between_images under "
    "class_sensitivity, lies above 0, no where below; 'not asked: …' with the reason where what is asked decides it: "
    "of two classes what speaks for one speaks against the other",
    "beyond": "deletion and insertion over black, the images' mean colour and a blurred image: by how much the "
    "method's area is better than the best control's, and which is best; the control that counts for an image is the "
    "best on the other images; of_all, the wider interval of the gain that holds together with those of the other "
    "five. Controls: brightness, centre, edges, the method's mean map of other images, the method "
    "on untrained weights",
    "class_sensitivity": "1 less Spearman's rank correlation of two maps with their signs: between the predicted "
    "class and the runner-up of one image, and between two images; null where it is not asked",
    "answers.stable": "yes where the interval of stability_own.similarity lies above its bound, no where below",
    "own similarity": "each map is divided by its length, the mean of these over the images is taken out, and the "
    "cosine of what is left of two maps is their similarity: 1 the same, 0 nothing in common",
    "deletion, insertion": "area under the curve of the predicted class's probability while pixels are taken away, or "
    "brought in, in the order of the map (Petsiuk et al. 2018, arXiv 1806.07421)",
    "against": "areas of the method less those of the control, paired by image; each interval for itself",
    "sanity.signed, absolute, foreground": "after each step of the cascade, Spearman's rank correlation with the "
    "trained model's map: as it is, of absolute values, and of these where the image differs from its most frequent "
    "pixel (Adebayo et al. 2018, arXiv 1810.03292)",
    "sanity.ssim": "structural similarity of the same maps (Wang et al. 2004)",
    "sanity.own, own_absolute": "their own similarity, as they are and of absolute values",
    "sanity.similarity": "the mean of sanity.own and of sanity.own_absolute over the cascade, each with its interval "
    "over images and draws of the weights; null, the own similarity of the trained model's map of one image with the "
    "random model's of another; bound, halfway from there to 1; and of_both, the wider interval that holds together "
    "with the other one's. absolute is null where no map has a negative value",
    "sanity.likeness, null, bound": "mean, null and bound of sanity.similarity.signed, by an earlier name",
    "sanity.between_images": "Spearman's rank correlation of the trained model's maps of different images",
    "sanity.to_mean": "Spearman's rank correlation of each such map with the mean of the others",
    "sanity.steps_of_layers": "steps of the cascade, and layers with weights",
    "stability": "Spearman's rank correlation of |map| with |map of a copy under noise of 2 % of the pixel range|",
    "stability_own": "own similarity of the same maps, its null between different images, and the bound halfway to 1; "
    "likeness is the similarity by an earlier name",
    "redrawn": "Spearman's rank correlation of two |maps| of one image by two seeds; null where nothing is drawn",
}


def trust_json(trust: Trust, milliseconds: Mapping[str, float]) -> dict[str, Any]:
    """By method, of the controls, and the definitions."""
    return {
        "methods": {
            name: {
                "answers": {
                    key: {"answer": found.words, **_interval(found.interval)}
                    for key, found in findings(trust, name).items()
                },
                **_faithfulness(method.faithfulness),
                "against": {
                    control: {
                        kind: {
                            baseline: _interval(difference(getattr(method.faithfulness, kind)[baseline], curves))
                            for baseline, curves in getattr(of, kind).items()
                        }
                        for kind in ("deletion", "insertion")
                    }
                    for control, of in trust.controls.items()
                },
                "beyond": _beyond(method.beyond),
                "class_sensitivity": _class_sensitivity(method.class_sensitivity),
                "sanity": _sanity(method.sanity),
                **_stability(method.stability),
                "milliseconds": milliseconds[name],
            }
            for name, method in trust.methods.items()
        },
        "controls": {name: _faithfulness(of) for name, of in trust.controls.items()},
        "definitions": DEFINITIONS,
    }


def _beyond(of: BeyondControls) -> dict[str, Any]:
    return {
        kind: {
            baseline: {"best_control": found.best, "gain": _interval(found.gain), "of_all": _interval(found.of_all)}
            for baseline, found in getattr(of, kind).items()
        }
        for kind in ("deletion", "insertion")
    }


def _class_sensitivity(of: ClassSensitivity | NotAsked) -> dict[str, Any] | None:
    if isinstance(of, NotAsked):
        return None
    return {"between_classes": _interval(of.between_classes), "between_images": _interval(of.between_images)}


def _sanity(of: Sanity) -> dict[str, Any]:
    return {
        "verdict": verdict(of).words,
        "similarity": {
            "signed": _kept(of.kept),
            "absolute": _kept(of.kept_absolute) if of.kept_absolute else None,
        },
        "likeness": _rounded(of.kept.similarity.mean),
        "null": _rounded(of.kept.null),
        "bound": _rounded(of.kept.bound),
        "between_images": _interval(of.between_images),
        "to_mean": _interval(of.to_mean),
        "layers": list(of.layers),
        "steps_of_layers": [len(of.layers), of.of_layers],
        **{
            kind: [_interval(step) for step in getattr(of, kind)]
            for kind in ("signed", "absolute", "foreground", "ssim", "own", "own_absolute")
        },
    }


def _kept(of: Kept) -> dict[str, Any]:
    return {
        **_interval(of.similarity),
        "of_both": _interval(of.of_both),
        "null": _rounded(of.null),
        "bound": _rounded(of.bound),
    }


def _stability(of: Stability) -> dict[str, Any]:
    return {
        "stability": _interval(of.absolute),
        "stability_own": {
            "similarity": _interval(of.own),
            "likeness": _interval(of.own),
            "null": _rounded(of.null),
            "bound": _rounded(of.bound),
        },
        "redrawn": _interval(of.redrawn) if of.redrawn else None,
    }


def _faithfulness(of: Faithfulness) -> dict[str, Any]:
    return {
        kind: {
            baseline: {"area": _interval(area(curves)), "curve": [_rounded(v) for v in curves.values.mean(axis=0)]}
            for baseline, curves in getattr(of, kind).items()
        }
        for kind in ("deletion", "insertion")
    }


def _interval(value: Interval) -> dict[str, float | None]:
    return {key: _rounded(of) for key, of in value._asdict().items()}


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
