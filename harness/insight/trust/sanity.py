"""Does a map depend on the model? The cascading randomisation of Adebayo et al. 2018, "Sanity Checks for Saliency Maps"
(arXiv 1810.03292), section 3.1.

The layers' weights are drawn anew, from the logits downwards, one layer after the other, and the maps made again. A
method that explains the model must then say something else; an edge detector does not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.saliency import Explain, Maps, Views, views
from harness.insight.trust.interval import (
    CORRELATION,
    Answer,
    Interval,
    all_hold,
    is_below,
    mean_over_draws,
    mean_over_images,
)
from harness.insight.trust.redraw import draw_anew, layers_with_weights, weights_restored
from harness.insight.trust.similarity import (
    OwnSimilarity,
    foreground,
    own_similarity,
    spearman,
    spearman_across,
    spearman_to_mean,
    ssim,
)

MOST_STEPS = 8
"""Of a cascade: a model of more layers has several drawn anew in each."""
SEEDS = 5
"""Cascades, each with weights of its own. Maps with signs are as often turned over by a draw as not: of three draws
the interval is too wide for any verdict."""


class Kept(NamedTuple):
    """What is left, over the whole cascade, of what is each image's own."""

    similarity: Interval
    """`similarity.own_similarity` for other images and other draws of the weights; the intervals of all methods of one
    cascade hold together."""
    of_both: Interval
    """The same, wider where maps have signs: those of the maps and of their absolute values hold together as well."""
    null: float
    """What `similarity` is between maps of different images, of which one is the trained and the other the random
    model's: nothing that an image has of its own is in common."""

    @property
    def bound(self) -> float:
        """Halfway between the null and 1, a map that does not change.

        Were an image's own map a sum of a part that every network draws and a part that its weights decide,
        `similarity` would be the first part's share of the variance: at this bound the two are equal.
        """
        return (1 + self.null) / 2

    @property
    def depends(self) -> Answer:
        """Whether most of it depends on the weights."""
        return is_below(self.similarity, self.bound)

    @property
    def depends_jointly(self) -> Answer:
        """The same by `of_both`."""
        return is_below(self.of_both, self.bound)


@dataclass(frozen=True)
class Sanity:
    """How alike the maps are to those of the trained model, after each step of the cascade.

    Of a CAM the cells that the output can depend on are compared (`saliency.views`), but on the pixels for `foreground`
    and `ssim`. A value a step is the mean over images of each image's mean over the seeds; its interval is over images,
    given these draws of the weights. `kept` and `kept_absolute` alone have intervals that hold for other draws too.
    """

    layers: tuple[str, ...]
    """The last that is drawn anew in each step, from the logits down; those before it are random as well."""
    of_layers: int
    """How many layers with weights there are."""
    signed: tuple[Interval, ...]
    """Spearman's correlation of the maps as they are."""
    absolute: tuple[Interval, ...]
    """Of their absolute values."""
    foreground: tuple[Interval, ...]
    """Of their absolute values where the image has something. NaN where no image has two such pixels."""
    ssim: tuple[Interval, ...]
    own: tuple[Interval, ...]
    """The similarity of what is each image's own, without the map that all images share:
    `similarity.own_similarity`."""
    own_absolute: tuple[Interval, ...]
    """The same of the absolute values."""
    kept: Kept
    """`own` over the whole cascade."""
    kept_absolute: Kept | None
    """`own_absolute` likewise; None where no map has a negative value."""
    between_images: Interval
    """Spearman's correlation of the trained model's maps of different images: any two maps of this data have it."""
    to_mean: Interval
    """Of each of the trained model's maps with the mean of the others."""

    @property
    def depends(self) -> Answer:
        """Whether the map depends on the weights: yes where most of what is the image's own goes with them, in the map
        as it is and in its absolute values.

        A map that marks the same places whatever the weights, and draws nothing but signs from them, has nothing in
        common with itself on average over draws; its absolute values tell. No where either surely stays. The mean over
        the cascade is taken, and not its end: a map that stays while the logits and the layers below them are random
        does not tell what the model decides by, even if it changes once the first filters are random too.
        """
        return all_hold([kept.depends for kept in self._asked], [kept.depends_jointly for kept in self._asked])

    @property
    def decisive(self) -> Interval:
        """The similarity that the answer turns on, the map's or its absolute values', by the interval it is taken
        from."""
        kept = max(self._asked, key=lambda kept: (kept.depends_jointly == "no", kept.similarity.high - kept.bound))
        return kept.similarity if self.depends == "yes" else kept.of_both

    @property
    def only_signs(self) -> bool:
        """Whether it is only by the signs that the map depends on the weights."""
        return self.depends == "no" and self.kept.depends == "yes"

    @property
    def _asked(self) -> list[Kept]:
        return [self.kept, *([self.kept_absolute] if self.kept_absolute else [])]


def cascade(
    logits: keras.Model,
    methods: Mapping[str, Explain],
    images: NDArray[Any],
    labels: NDArray[Any],
    *,
    seeds: int = SEEDS,
    seed: int = 0,
    progress: Callable[[str], None] = lambda layer: None,
) -> dict[str, Sanity]:
    """Put methods through the cascade, on images (n, height, width, channels) and their labels (n,).

    Args:
        logits: the trained model; its weights are replaced meanwhile and put back, whatever happens.
        methods: by name, in the form of the saliency methods.
        seeds: how many cascades, each with weights of its own; `seed` draws them.
        progress: is given each layer's name as it is drawn anew.
    """
    trained = {name: views(method, logits, images, labels) for name, method in methods.items()}
    among = foreground(images)
    steps = cascade_steps(logits)
    found: dict[str, list[list[_Similarities]]] = {name: [] for name in methods}
    for number in range(seeds):
        for of_steps in found.values():
            of_steps.append([])
        with weights_restored(logits):
            for step in steps:
                progress(step[-1][1].name)
                for place, layer in step:
                    draw_anew(layer, (seed, number, place))
                for name, method in methods.items():
                    found[name][-1].append(
                        _Similarities.of(trained[name], views(method, logits, images, labels), among)
                    )
    names = tuple(step[-1][1].name for step in steps)
    layers = sum(len(step) for step in steps)
    return {name: _summary(names, layers, trained[name].compared, of, len(methods)) for name, of in found.items()}


def cascade_steps(logits: keras.Model) -> list[list[tuple[int, keras.layers.Layer]]]:
    """The layers that are drawn anew in each step, with their places from the logits down.

    One a step, the logits alone in the first, where there are 8 layers with weights at most; else 8 steps whose ends
    are spread evenly over the layers. Normalization is not among them: its weights describe the data.
    """
    layers = list(enumerate(layers_with_weights(logits)))
    ends = np.linspace(0, len(layers) - 1, min(len(layers), MOST_STEPS)).round().astype(int) + 1
    return [layers[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


@dataclass(frozen=True)
class _Similarities:
    """Image by image, (n,)."""

    signed: NDArray[np.float64]
    absolute: NDArray[np.float64]
    foreground: NDArray[np.float64]
    ssim: NDArray[np.float64]
    own: OwnSimilarity
    own_absolute: OwnSimilarity
    has_signs: bool
    """Whether any of the maps has a negative value."""

    @classmethod
    def of(cls, trained: Views, random: Views, among: NDArray[np.bool_]) -> "_Similarities":
        then, now = trained.compared, random.compared
        sizes = np.abs(then), np.abs(now)
        signed, own = spearman(then, now), own_similarity(then, now)
        has_signs = bool((then < 0).any() or (now < 0).any())
        return cls(
            signed,
            spearman(*sizes) if has_signs else signed,
            spearman(np.abs(trained.on_pixels), np.abs(random.on_pixels), among),
            ssim(trained.on_pixels, random.on_pixels),
            own,
            own_similarity(*sizes) if has_signs else own,
            has_signs,
        )


def _summary(
    layers: tuple[str, ...], of_layers: int, trained: Maps, found: list[list[_Similarities]], together: int
) -> Sanity:
    def values(of: Callable[[_Similarities], NDArray[np.float64]]) -> NDArray[np.float64]:
        """(seeds, steps, n)"""
        return np.array([[of(step) for step in steps] for steps in found])

    def by_step(of: Callable[[_Similarities], NDArray[np.float64]]) -> tuple[Interval, ...]:
        return tuple(mean_over_images(step, CORRELATION) for step in values(of).mean(axis=0))

    def kept(of: Callable[[_Similarities], OwnSimilarity]) -> Kept:
        same = values(lambda step: of(step).same).mean(axis=1)
        alone, both = (
            mean_over_draws(same, CORRELATION, together=together * asked) for asked in (1, 2 if has_signs else 1)
        )
        return Kept(alone, both, float(values(lambda step: of(step).others).mean()))

    has_signs = any(step.has_signs for steps in found for step in steps)
    return Sanity(
        layers,
        of_layers,
        signed=by_step(lambda step: step.signed),
        absolute=by_step(lambda step: step.absolute),
        foreground=by_step(lambda step: step.foreground),
        ssim=by_step(lambda step: step.ssim),
        own=by_step(lambda step: step.own.same),
        own_absolute=by_step(lambda step: step.own_absolute.same),
        kept=kept(lambda step: step.own),
        kept_absolute=kept(lambda step: step.own_absolute) if has_signs else None,
        between_images=mean_over_images(spearman_across(trained, trained), CORRELATION),
        to_mean=mean_over_images(spearman_to_mean(trained), CORRELATION),
    )
