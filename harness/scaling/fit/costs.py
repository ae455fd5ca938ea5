"""What the target costs at each batch and number of replicas, and which of them to take."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.scaling.fit.curve import Analysis, Estimate
from harness.scaling.tables.measurements import Throughput
from harness.scaling.tables.trials import Trial

CORRECTNESS = "correctness, not scaling"
"""What a measurement with more replicas than cores is called: replicas that wait for each other's cores."""


@dataclass(frozen=True)
class Cost:
    """What reaching the target takes, by one measure."""

    global_batch: int
    replicas: int | None
    measured: bool  # False where the steps come from the fitted curve
    value: float
    low: float
    high: float


def steps(analysis: Analysis) -> list[Cost]:
    """Steps to target of each batch whose median reported trial reached it: between the last miss of the quickest and
    the first hit of the slowest; to infinity where one of them never did."""
    return [
        Cost(batch.global_batch, None, True, batch.median, *_range(batch.reported))
        for batch in analysis.batches
        if batch.median is not None
    ]


def seconds(analysis: Analysis, throughput: Sequence[Throughput]) -> list[Cost]:
    """S(B)·B/(images/s) of each measurement; S(B) from the trials, or from the fit at batches without trials."""
    known = {cost.global_batch: cost for cost in steps(analysis)}
    tried = {batch.global_batch for batch in analysis.batches}
    costs = []
    for row in throughput:
        batch = row.global_batch
        if batch not in tried:
            (value,), (low, high) = analysis.fit.steps([batch]), analysis.fit.band([batch])
            taken = Cost(batch, None, False, float(value), float(low[0]), float(high[0]))
        elif batch in known:
            taken = known[batch]
        else:  # it was tried, and what it takes lies beyond the budget
            continue
        costs.append(
            Cost(
                batch,
                row.replicas,
                taken.measured,
                taken.value * batch / row.images_per_second,
                taken.low * batch / row.high,
                taken.high * batch / row.low,
            )
        )
    return costs


def speed(row: Throughput, others: Sequence[Throughput]) -> dict[str, Any]:
    """A measurement with its strong scaling (against one replica at the same global batch) and weak scaling
    (against one replica at the same batch a replica), each None where one replica was not measured there.

    An interval's ends are the least favourable pair of windows and the most favourable one.
    """
    crowded = row.replicas > row.cores
    even = row.global_batch % row.replicas == 0
    bases = {"strong": row.global_batch, "weak": row.global_batch // row.replicas if even else None}
    scaling: dict[str, Any] = {}
    for name, batch in bases.items():
        alone = [other for other in others if (other.replicas, other.global_batch) == (1, batch)]
        scaling[name] = _scaling(row, alone[0], crowded) if alone else None
    return {
        "global_batch": row.global_batch,
        "replicas": row.replicas,
        "replica_batch": -(-row.global_batch // row.replicas),
        "cores": row.cores,
        "device": row.device,
        "images_per_second": Estimate(row.images_per_second, row.low, row.high),
        **scaling,
        "label": CORRECTNESS if crowded else None,
    }


def recommended(analysis: Analysis, throughput: Sequence[Throughput]) -> dict[str, Any]:
    """The "fastest", the "cheapest" and the "knee": each the batch, what it was chosen by, and whether it was measured.

    Fastest takes the fewest seconds, cheapest the fewest replica-seconds; where no speed was measured, or only with
    more replicas than cores, the fewest steps and the fewest examples. What is inside the interval of the best counts
    as equal to it, and of equal ones the smallest batch is taken. The knee is the measured batch nearest to B_crit, or
    B_crit itself where that lies beyond them; None where B_crit is not identified.
    """
    times = seconds(analysis, [row for row in throughput if row.replicas <= row.cores])
    if times:
        fastest = _choice(_least(times), "seconds")
        cheapest = _choice(_least([_times(cost, cost.replicas or 1) for cost in times]), "replica-seconds")
    else:
        known = steps(analysis)
        if not known:
            return {"fastest": None, "cheapest": None, "knee": _knee(analysis)}
        fastest = _choice(_least(known), "steps")
        cheapest = _choice(_least([_times(cost, cost.global_batch) for cost in known]), "examples")
    return {"fastest": fastest, "cheapest": cheapest, "knee": _knee(analysis)}


def _range(trials: Sequence[Trial]) -> tuple[float, float]:
    low = min(trial.steps_low for trial in trials)
    return low, max(math.inf if trial.steps_high is None else trial.steps_high for trial in trials)


def _scaling(row: Throughput, alone: Throughput, crowded: bool) -> dict[str, Any]:
    ratio = Estimate(
        row.images_per_second / alone.images_per_second,
        row.low / alone.high if row is not alone else 1.0,
        row.high / alone.low if row is not alone else 1.0,
    )
    share = Estimate(ratio.value / row.replicas, ratio.low / row.replicas, ratio.high / row.replicas)
    return {"speed_up": ratio, "efficiency": None if crowded else share}


def _times(cost: Cost, factor: int) -> Cost:
    return Cost(
        cost.global_batch, cost.replicas, cost.measured, cost.value * factor, cost.low * factor, cost.high * factor
    )


def _least(costs: Sequence[Cost]) -> Cost:
    best = min(costs, key=lambda cost: cost.value)
    # Where one seed never reached the target the interval has no end, and every batch would lie in it.
    equal = [cost for cost in costs if cost.value <= (best.high if best.high < math.inf else best.value)]
    return min(equal, key=lambda cost: (cost.global_batch, cost.replicas or 0))


def _choice(cost: Cost, unit: str) -> dict[str, Any]:
    return {
        "global_batch": cost.global_batch,
        "replicas": cost.replicas,
        "measured": cost.measured,
        "unit": unit,
        "to_target": Estimate(cost.value, cost.low, cost.high),
    }


def _knee(analysis: Analysis) -> dict[str, Any] | None:
    fit = analysis.fit
    if not fit.identified:
        return None
    sizes = [batch.global_batch for batch in analysis.batches]
    if min(sizes) <= fit.b_crit.value <= max(sizes):
        nearest = min(sizes, key=lambda size: abs(math.log(size / fit.b_crit.value)))
        return {"global_batch": nearest, "measured": True}
    return {"global_batch": round(fit.b_crit.value), "measured": False}
