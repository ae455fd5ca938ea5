"""What becomes of maps as the model is made random, and of predictions as pixels are taken away."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from harness.insight.saliency import METHODS
from harness.insight.trust import BASELINES, STEPS, Kept, Sanity, Trust
from harness.page.picture import INK, MUTED, Picture, png
from harness.page.table import Row, Table

_COLOURS = ("#0072B2", "#D55E00", "#007D5A", "#8A5A9E", "#B8860B", "#56A4D9", "#C1447E", "#7B3F00", "#00A6A6")
_CASCADES = {
    "own": "each image's own part",
    "own_absolute": "each image's own part of |map|",
    "signed": "whole maps, rank correlation",
}
_DASHES = ("-", "--", "-.", ":")
_OF_CONTROLS = {"random": ":", "brightness": "-", "centre": "-.", "edges": "--"}


def cascade_picture(trust: Trust) -> Picture:
    """How alike the maps are to the trained model's after each step of the cascade."""
    checks = {METHODS[name].title: method.sanity for name, method in trust.methods.items()}
    first = next(iter(checks.values()))
    layers = first.layers
    figure, panels = _figure(3)
    for axes, (kind, words) in zip(panels, _CASCADES.items(), strict=True):
        for number, (title, sanity) in enumerate(checks.items()):
            steps = getattr(sanity, kind)
            means = np.array([step.mean for step in steps])
            spread = np.abs(np.array([[step.low, step.high] for step in steps]).T - means)
            axes.errorbar(range(len(layers)), means, yerr=spread, label=title, capsize=2, **_style(number))
            if kind == "signed":
                between = sanity.between_images.mean
                axes.plot([len(layers) - 0.6], [between], marker="D", markersize=4, color=_style(number)["color"])
        _plain(axes, words)
        axes.set_xticks(range(len(layers)), layers, rotation=20)
        axes.set_xlabel("randomized from the logits down to", fontsize=9)
        axes.set_ylim(-0.35, 1.05)
    for axes, kept in zip(panels, zip(*(_kept(sanity) for sanity in checks.values()), strict=True), strict=False):
        bounds = [of.bound for of in kept]
        if np.isfinite(bounds).all():
            axes.axhline(float(np.mean(bounds)), color=MUTED, linewidth=0.8, linestyle=":")
    panels[0].set_ylabel("similarity to the trained model's map", fontsize=9)
    _legend(figure, panels[-1])
    rows = [
        Row([title, kind, *(_number(step.mean) for step in getattr(sanity, kind)), *_nulls(sanity, kind)])
        for title, sanity in checks.items()
        for kind in ("own", "own_absolute", "signed", "absolute", "foreground", "ssim")
    ]
    return Picture(
        name="trust-sanity",
        title="Sanity check",
        caption="The weights are randomized layer by layer, and the maps are computed again"
        + (f", in {len(layers)} steps for {first.of_layers} layers" if len(layers) < first.of_layers else "")
        + ". Left: how much remains of each image's own part of the map, after removing the part that the maps of all "
        "images share; middle: the same of the absolute values, without their signs. The verdict comes from these: a "
        "map whose mean over the steps is clearly above the dotted line, halfway to a map that never changes, in "
        "either, merely redraws the image. Right: Spearman's rank "
        "correlation with the trained model's map. The diamonds show that correlation between maps of different images "
        "by the trained model; a value no higher than that means nothing. Means over images and random draws of the "
        "weights; each 95% interval is over images and holds by itself.",
        alt="Similarity after randomizing "
        + ", ".join(layers)
        + ". "
        + "; ".join(
            f"{title} {sanity.decisive.mean:.2f}, depends on the weights: {sanity.depends}"
            for title, sanity in checks.items()
        )
        + ".",
        png=png(figure),
        table=Table("Sanity check as numbers", ["method", "of", *layers, "between images", "to the mean map"], rows),
        chart=True,
    )


def _nulls(sanity: Sanity, kind: str) -> list[str]:
    """What any two maps of this data have in common, by the same measure where it is known."""
    if kind == "signed":
        return [_number(sanity.between_images.mean), _number(sanity.to_mean.mean)]
    kept = dict(zip(("own", "own_absolute"), _kept(sanity), strict=True))
    return [_number(kept[kind].null) if kind in kept else "", ""]


def _kept(sanity: Sanity) -> tuple[Kept, Kept]:
    """Of the maps, and of their absolute values, which are the maps where they have no signs."""
    return sanity.kept, sanity.kept_absolute or sanity.kept


def curves_pictures(trust: Trust) -> list[Picture]:
    """Mean deletion and insertion curves, a picture a baseline."""
    return [_curves_picture(trust, baseline) for baseline in BASELINES]


def _curves_picture(trust: Trust, baseline: str) -> Picture:
    share = np.linspace(0, 100, STEPS + 1)
    figure, (deletion, insertion) = _figure(2)
    shown = {METHODS[name].title: method.faithfulness for name, method in trust.methods.items()} | dict(trust.controls)
    rows = []
    for axes, kind, better in ((deletion, "deletion", "lower"), (insertion, "insertion", "higher")):
        for number, (title, of) in enumerate(shown.items()):
            mean = getattr(of, kind)[baseline].values.mean(axis=0)
            control = title in trust.controls
            style = {"color": MUTED, "linestyle": _OF_CONTROLS[title]} if control else _style(number)
            axes.plot(share, mean, label=title, **style)
            rows.append(Row([title, kind, *(f"{value:.3f}" for value in mean[::4])], control))
        _plain(axes, f"{kind.capitalize()}: {better} is better")
        axes.set_xlabel("pixels removed, %" if kind == "deletion" else "pixels added, %", fontsize=9)
        axes.set_xlim(0, 100)
        axes.set_ylim(-0.02, 1.02)
    _legend(figure, insertion)
    where = {"black": "black", "mean": "the mean colour", "blur": "a blurred image"}[baseline]
    return Picture(
        name=f"trust-{baseline}",
        title=f"Deletion and insertion against {where}",
        caption="Mean probability of the predicted class as pixels, most important first, are replaced by "
        f"{where} (left) or added to it (right). Grey: controls that know nothing about the model: pixels in random "
        "order (dotted), and by edges, brightness or closeness to the centre.",
        alt=f"Mean curves against {where}. Areas: "
        + "; ".join(
            f"{title} deletion {of.deletion[baseline].areas.mean():.2f}, "
            f"insertion {of.insertion[baseline].areas.mean():.2f}"
            for title, of in shown.items()
        )
        + ".",
        png=png(figure),
        table=Table(
            f"Curves against {where} as numbers", ["method", "curve", *(f"{value:.0f}%" for value in share[::4])], rows
        ),
        chart=True,
    )


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "not known"


def _figure(count: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(11.5, 3.9), dpi=96, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, count))


def _style(number: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "linestyle": _DASHES[number % len(_DASHES)],
        "linewidth": 1.4,
    }


def _plain(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10.5, color=INK, loc="left")
    axes.tick_params(labelsize=8.5)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, axes: Axes) -> None:
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8.5)
