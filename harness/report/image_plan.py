"""How many images are explained: as many as insight.images asks for, or as the budget allows."""

from collections.abc import Sequence

import keras

from harness.config.insight import InsightSection
from harness.insight.cost import BACKWARD, SPEED, passes, work
from harness.insight.saliency import METHODS
from harness.insight.trust import (
    BASELINES,
    MOST_EXPLAINED_AGAIN,
    STEPS,
    f_fidelity,
    infidelity,
    max_sensitivity,
    road,
    smprt,
)
from harness.insight.trust.assess import held
from harness.insight.trust.class_sensitivity import not_asked
from harness.insight.trust.controls import DRAWS
from harness.insight.trust.redraw import layers_with_weights
from harness.insight.trust.sanity import SEEDS, cascade_steps
from harness.insight.trust.stability import COPIES
from harness.report.overview import NEAREST_TO, Amounts

_FEWEST = 2
"""Of each kind, whatever they cost: of three kinds they are enough for an interval."""
_KINDS = 3
_EXPLAINED = 5
"""Maps of an image of each kind, at most: of a mistake and of an uncertain one those for two classes."""
_CURVE = STEPS + 1
"""Images that the model is shown where pixels of one are taken away in the order of one map."""


def images_a_kind(
    logits: keras.Model, methods: Sequence[str], insight: InsightSection, *, training: int = 0, fine_tuned: bool = False
) -> int:
    """How many images of each kind can be explained, and the maps checked, within insight.budget at the speed of two
    cores.

    By counting passes through the model and not with a clock, so that equal runs show equal images, however busy the
    machine is.

    Args:
        methods: by their names in `insight.methods`, those that can explain the model.
        training, fine_tuned: as `passes_of_a_study` takes them.
    """
    affordable = insight.budget.seconds * SPEED / work(logits)

    def fits(count: int) -> bool:
        taken = passes_of_a_study(logits, methods, count, insight, training=training, fine_tuned=fine_tuned)
        return taken <= affordable

    return next((count for count in range(insight.images, _FEWEST, -1) if fits(count)), min(insight.images, _FEWEST))


def passes_of_a_study(
    logits: keras.Model,
    methods: Sequence[str],
    count: int,
    insight: InsightSection,
    *,
    training: int = 0,
    fine_tuned: bool = False,
) -> float:
    """What a study of the maps takes, in forward passes: of so many images of each kind, with enough mistakes.

    Args:
        training: images among which the neighbours of mistakes are sought.
        fine_tuned: whether F-Fidelity is among the metrics.
    """
    images = _KINDS * count
    at_a_time = min(images, MOST_EXPLAINED_AGAIN)
    few, controlled = at_a_time, held(images)
    cascade = 1 + SEEDS * len(cascade_steps(logits))
    timed = 2
    untrained = sum(_in_parts(len(range(draw, controlled, DRAWS)), at_a_time) for draw in range(DRAWS))

    total = 0.0
    for name in methods:
        method = METHODS[name]
        another_class = not_asked(logits, name) is None
        checked = few * (method.of_a_layer + another_class + cascade + COPIES + method.draws + timed)
        maps = _in_parts(_EXPLAINED * count, at_a_time) + untrained + checked
        total += maps * passes(logits, name, insight.layer)
    total += (images - controlled) * _CURVE * len(methods)
    total += controlled * _CURVE * 2 * len(BASELINES) * (3 * len(methods) + 4)  # own controls two, shared ones four
    total += few * (1 + COPIES)  # what the model says of them and of noisy copies

    amounts = Amounts.of(count, logits.output_shape[-1])
    many = _in_parts(amounts.correct, at_a_time) + 2 * _in_parts(amounts.mistakes, at_a_time)
    total += many * passes(logits, methods[0], insight.layer)
    if training:
        total += min(amounts.mistakes, NEAREST_TO) + min(amounts.among, training)
    if insight.metrics:
        total += _passes_of_metrics(logits, methods, few, insight.layer, fine_tuned=fine_tuned)
    return total


def _passes_of_metrics(
    logits: keras.Model, methods: Sequence[str], images: int, layer: str | None, *, fine_tuned: bool
) -> float:
    removed = 2 * len(road.SHARES) + 1 + infidelity.SQUARES
    again = max_sensitivity.COPIES + smprt.COPIES * (1 + len(layers_with_weights(logits)))
    total = images * sum(removed + again * passes(logits, name, layer) for name in methods)
    if fine_tuned:
        total += BACKWARD * f_fidelity.STEPS * f_fidelity.BATCH
        total += images * (1 + 2 * len(methods) * len(f_fidelity.SIZES) * f_fidelity.SAMPLES)
    return total


def _in_parts(count: int, at_a_time: int) -> int:
    """How many are explained where there are so many at a time and the last part is filled up."""
    return -(-count // at_a_time) * at_a_time
