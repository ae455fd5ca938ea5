"""Does a method say more about what matters than a map that knows nothing of the model?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.saliency import Explain, Maps
from harness.insight.trust.controls import brightness, centre, edges, mean_of_others, untrained
from harness.insight.trust.faithfulness import Curves, Faithfulness, faithfulness
from harness.insight.trust.interval import Answer, Interval, all_hold, is_above, mean_over_images

_OF_THE_IMAGE: Mapping[str, Explain] = {"brightness": brightness, "centre": centre, "edges": edges}


@dataclass(frozen=True)
class Controls:
    """What deletion and insertion make of maps that know nothing of the model, over all baselines."""

    shared: Mapping[str, Faithfulness]
    """The same for every method: "brightness", "centre" and "edges"."""
    own: Mapping[str, Mapping[str, Faithfulness]]
    """By method: "other images", the mean of its maps of them, and "untrained", its maps of freshly drawn weights."""

    def of(self, method: str) -> dict[str, Faithfulness]:
        """All that the method is compared with, by name."""
        return {**self.shared, **self.own[method]}


class AgainstBest(NamedTuple):
    """How much better a method is than the best of its controls, over one baseline."""

    best: str
    """The control with the best mean area over these images."""
    gain: Interval
    """By how much the method's area is better than the best control's: positive is better, for deletion too."""
    of_all: Interval
    """The same, wider: such intervals of all that is asked of a method hold together."""


@dataclass(frozen=True)
class BeyondControls:
    """A method beside the best of its controls, by baseline."""

    deletion: Mapping[str, AgainstBest]
    insertion: Mapping[str, AgainstBest]

    @property
    def answer(self) -> Answer:
        """Is the method faithful beyond the best control?

        Six gains are asked: deletion and insertion over each of three baselines. Yes where each is above zero with its
        whole interval; no where one is below zero with the whole interval `of_all`, since some map that knows nothing
        of the model then does better; else it can't be told. Neither is likelier to be wrong than an answer from a
        single gain: for a yes all six must be above zero at once, for a no the intervals are wider (`all_hold`).
        """
        return all_hold([is_above(of.gain) for of in self._all], [is_above(of.of_all) for of in self._all])

    @property
    def decisive(self) -> tuple[str, Interval]:
        """Of the six the gain that the answer turns on, by the interval it is taken from, and the control it is over:
        the one that reaches lowest, of those surely below zero where there are some."""
        found = min(self._all, key=_reach)
        return found.best, found.gain if self.answer == "yes" else found.of_all

    @property
    def _all(self) -> list[AgainstBest]:
        return [*self.deletion.values(), *self.insertion.values()]


def _reach(of: AgainstBest) -> tuple[bool, float]:
    return is_above(of.of_all) != "no", of.gain.low if np.isfinite(of.gain.low) else of.gain.mean


def control_curves(
    logits: keras.Model,
    methods: Mapping[str, Explain],
    images: NDArray[Any],
    labels: NDArray[Any],
    maps: Mapping[str, Maps],
    *,
    seed: int = 0,
) -> Controls:
    """Delete and insert by the controls: 2 · 3 · (STEPS + 1) · n images of the model for each of 3 + 2 · methods maps.

    Args:
        logits: functional; its weights are replaced meanwhile and put back.
        methods: by name.
        images: (n, height, width, channels) pixels.
        labels: (n,), what the model predicts.
        maps: by method, of these images and labels.
    """

    def curves(of: Maps) -> Faithfulness:
        return faithfulness(logits, of, images, labels, seed=seed)

    fresh = untrained(logits, methods, images, labels, seed=seed)
    return Controls(
        {name: curves(draw(logits, images, labels)) for name, draw in _OF_THE_IMAGE.items()},
        {
            name: {"other images": curves(mean_of_others(maps[name])), "untrained": curves(fresh[name])}
            for name in methods
        },
    )


def against_controls(ours: Faithfulness, controls: Mapping[str, Faithfulness], *, together: int = 1) -> BeyondControls:
    """Hold a method's deletion and insertion against those of the best control, image by image.

    Which control is best is not known beforehand. If it were chosen by the images that it is then judged by, its luck
    with them would count for it; so for each image the one counts that is best on average over the *other* images.

    Args:
        ours: of the baselines that are asked.
        controls: by name, of the same images and baselines.
        together: methods whose gains are read beside each other, and hold together with 95 % (Bonferroni).
    """
    asked = len(ours.deletion) + len(ours.insertion)

    def held(kind: str, sign: int) -> dict[str, AgainstBest]:
        found = {}
        for baseline, curves in getattr(ours, kind).items():
            theirs: dict[str, Curves] = {name: getattr(of, kind)[baseline] for name, of in controls.items()}
            areas = {name: sign * of.areas for name, of in theirs.items()}
            found[baseline] = _against_best(sign * curves.areas, areas, together, asked)
        return found

    return BeyondControls(held("deletion", -1), held("insertion", 1))


def _against_best(
    ours: NDArray[np.float64], controls: Mapping[str, NDArray[np.float64]], together: int, asked: int
) -> AgainstBest:
    """Of what is better the higher it is, (n,)."""
    theirs = np.stack(list(controls.values()))
    total = theirs.sum(axis=1, keepdims=True)
    chosen = (total - theirs if len(ours) > 1 else total).argmax(axis=0)
    gains = ours - theirs[chosen, np.arange(len(ours))]
    gain, of_all = (mean_over_images(gains, together=together * times) for times in (1, asked))
    return AgainstBest(list(controls)[int(total[:, 0].argmax())], gain, of_all)
