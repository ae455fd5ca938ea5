"""How far each method can be trusted: the table on top of the page, the section behind it, and insight.json."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.insight.saliency import METHODS
from harness.insight.trust import HARDLY_CHANGED, Faithfulness, Interval, Sanity, Trust, area, difference
from harness.report.page import Section, TrustTable
from harness.report.table import Row, Table, Verdict
from harness.report.trust_figures import cascade_picture, curves_pictures

_CONTROLS = {"random": "pixels in random order", "edges": "an edge detector"}


def verdict(sanity: Sanity) -> Verdict:
    words = "depends on the model" if sanity.depends_on_model else "does not depend on the model"
    return Verdict(words, sanity.depends_on_model)


def trust_table(trust: Trust, milliseconds: Mapping[str, float], left_out: Mapping[str, str]) -> TrustTable:
    """A row a method, and one for each control; `left_out` is why a method has none."""
    rows = [
        Row(
            [
                METHODS[name].title,
                _told(area(method.faithfulness.deletion["black"])),
                _told(area(method.faithfulness.insertion["black"])),
                _against_edges(method.faithfulness, trust.controls["edges"]),
                verdict(method.sanity),
                _told(method.stability),
                f"{milliseconds[name]:.2g}",
            ]
        )
        for name, method in trust.methods.items()
    ]
    rows += [
        Row(
            [words, _told(area(of.deletion["black"])), _told(area(of.insertion["black"])), "", "", "", ""], control=True
        )
        for words, of in ((_CONTROLS[name], of) for name, of in trust.controls.items())
    ]
    headings = [
        "method",
        "deletion ↓ lower is better",
        "insertion ↑ higher is better",
        "deletes better than edges?",
        "sanity",
        "stability ↑ higher is better",
        "ms an image",
    ]
    notes = [
        (
            "Deletion and insertion: the mean probability of the predicted class while its most important pixels are "
            "blackened, or brought in on black, with its 95 % interval over the images."
        ),
        (
            "Sanity: whether the map changes when the layers' weights are drawn anew from the top (rank correlation "
            f"below {HARDLY_CHANGED}, on the foreground or with signs). Stability: rank correlation of the map with "
            "that of a slightly noisy copy of the image."
        ),
    ]
    shown = len(trust.controls["edges"].deletion["black"].values)
    notes.append(
        f"All of it is of the {shown:,} images below, which are chosen: the intervals speak of such images, and not of "
        "the whole test set."
    )
    for reason in dict.fromkeys(left_out.values()):
        titles = ", ".join(METHODS[name].title for name, of in left_out.items() if of == reason)
        notes.append(f"Left out: {titles}, since {reason}.")
    bad = [METHODS[name].title for name, method in trust.methods.items() if not method.sanity.depends_on_model]
    intro = (
        "A map is a picture of the model only if it changes with the model, and points at pixels that matter to it. "
    )
    intro += (
        f"Here {' and '.join(bad)} hardly {'changes' if len(bad) == 1 else 'change'} when the model's weights are "
        f"random: don't read the model from {'it' if len(bad) == 1 else 'them'}."
        if bad
        else "Here every method's map changes when the model's weights are random."
    )
    return TrustTable(intro, Table("Trust in each method", headings, rows), notes)


def trust_section(trust: Trust) -> Section:
    """The cascade and the curves, with their numbers."""
    return Section(
        "The checks",
        "The numbers behind the table on top: what becomes of the maps as the model is made random, and of the "
        "prediction as pixels are taken away.",
        [cascade_picture(trust), *curves_pictures(trust)],
    )


def trust_json(trust: Trust, milliseconds: Mapping[str, float]) -> dict[str, Any]:
    """As JSON values: by method, and of the controls."""
    return {
        "methods": {
            name: {
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
                "sanity": {
                    "verdict": verdict(method.sanity).words,
                    "likeness": _rounded(method.sanity.likeness),
                    "layers": list(method.sanity.layers),
                    **{
                        kind: [_interval(step) for step in getattr(method.sanity, kind)]
                        for kind in ("signed", "absolute", "foreground", "ssim")
                    },
                },
                "stability": _interval(method.stability),
                "milliseconds": milliseconds[name],
            }
            for name, method in trust.methods.items()
        },
        "controls": {name: _faithfulness(of) for name, of in trust.controls.items()},
    }


def _faithfulness(of: Faithfulness) -> dict[str, Any]:
    return {
        kind: {
            baseline: {"area": _interval(area(curves)), "curve": [_rounded(v) for v in curves.values.mean(axis=0)]}
            for baseline, curves in getattr(of, kind).items()
        }
        for kind in ("deletion", "insertion")
    }


def _against_edges(ours: Faithfulness, edges: Faithfulness) -> Verdict:
    gain = difference(ours.deletion["black"], edges.deletion["black"])
    if not gain.excludes_zero:
        return Verdict("no telling", good=None)
    return Verdict("yes", good=True) if gain.high < 0 else Verdict("no", good=False)


def _told(value: Interval) -> str:
    if not np.isfinite(value.mean):
        return "not known"
    return f"{value.mean:.2f}" + (f" ({value.low:.2f} to {value.high:.2f})" if np.isfinite(value.low) else "")


def _interval(value: Interval) -> dict[str, float | None]:
    return {key: _rounded(of) for key, of in value._asdict().items()}


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
