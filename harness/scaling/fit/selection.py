"""Which learning rate each batch is reported at, and the steps to target there.

The rate is chosen on some seeds and reported on others: the fewest steps over rates that are really alike are biased
low, and the more so the more rates were tried.
"""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.scaling.tables.trials import Status, Trial


@dataclass(frozen=True)
class BatchResult:
    """What the trials of one global batch say.

    Attributes:
        learning_rate: the selected one; None where no trial of this batch reached the target.
        edge: the selected rate is the lowest or highest of several tried ("unbracketed": the best may lie beyond).
        reported: the trials at the selected rate on seeds other than those it was selected on; on these where there
            are no others; all where there is one rate only and so nothing was selected.
        selected_on_same_seeds: the rate was selected on the seeds it is reported on: the steps are biased low.
        naive_minimum: the fewest steps over all rates and seeds: biased, only ever shown beside the median.
        median, low, high: of the steps to target over `reported` (smallest and largest); None where that is censored.
        counts: trials of each status, over all rates and seeds.
    """

    global_batch: int
    learning_rate: float | None
    edge: Literal["low", "high"] | None
    reported: list[Trial]
    selected_on_same_seeds: bool
    naive_minimum: float | None
    median: float | None
    low: float | None
    high: float | None
    counts: dict[Status, int]


def select(trials: Sequence[Trial], select_seeds: int) -> list[BatchResult]:
    """Each batch's selected rate and what is reported of it, from the smallest batch to the largest.

    The rate is the one that reached the target on most of the `select_seeds` smallest seeds of that batch, of those
    the one with the smallest mean log steps; of equal ones the middle rate, the lower of two. Where no rate reached
    the target on these seeds, all are used.
    """
    batches = sorted({trial.global_batch for trial in trials})
    return [
        _batch_result(batch, [trial for trial in trials if trial.global_batch == batch], select_seeds)
        for batch in batches
    ]


def warnings(batches: Sequence[BatchResult], trials: Sequence[Trial]) -> list[str]:
    """What of the trials' design or outcome weakens the numbers, one line each."""
    rates = {batch.global_batch: len(_rates(trials, batch.global_batch)) for batch in batches}
    lines = []
    same = [batch.global_batch for batch in batches if batch.selected_on_same_seeds]
    if same:
        lines.append(
            f"{_named(same)}: the learning rate was selected on the seeds it is reported on, so the steps are biased "
            "low: run further seeds at the selected rate"
        )
    if max(rates.values()) > 1 and 1 in rates.values():
        single = [batch for batch, count in rates.items() if count == 1]
        lines.append(f"{_named(single)}: one learning rate was tried: a better one may exist, run more rates")
    for batch in batches:
        name, number = f"batch {batch.global_batch:,}", len(batch.reported)
        if batch.edge is not None:
            lines.append(
                f"{name}: unbracketed: the best learning rate, {batch.learning_rate:g}, is the {batch.edge}est tried: "
                f"run {batch.edge}er ones"
            )
        diverged = sum(trial.status == "diverged" for trial in batch.reported)
        if diverged:
            lines.append(f"{name}: {diverged} of {number} reported trials diverged and count as not reached by then")
    missed = [batch.global_batch for batch in batches if batch.median is None]
    if missed:
        lines.append(
            f"{_named(missed)}: the median reported trial did not reach the target, so all that is known is that it "
            "needs more steps than it ran: raise the budget"
        )
    if all(len(batch.reported) == 1 for batch in batches):
        lines.append("each batch is reported on one seed: the spread between seeds is not known, run more seeds")
    return lines + _rising(batches)


def _batch_result(batch: int, trials: list[Trial], select_seeds: int) -> BatchResult:
    rates = _rates(trials, batch)
    seeds = sorted({trial.seed for trial in trials})[:select_seeds]
    if not any(trial.status == "reached" and trial.seed in seeds for trial in trials):
        seeds = sorted({trial.seed for trial in trials})
    rate = _best_rate([trial for trial in trials if trial.seed in seeds])
    at_rate = [trial for trial in trials if trial.learning_rate == rate]
    others = [trial for trial in at_rate if trial.seed not in seeds] if len(rates) > 1 else at_rate
    reported = others or at_rate
    reached = sorted(trial.steps for trial in trials if trial.steps is not None)
    steps = sorted(math.inf if trial.steps is None else trial.steps for trial in reported)
    middle = [steps[(len(steps) - 1) // 2], steps[len(steps) // 2]]
    counts = Counter(trial.status for trial in trials)
    return BatchResult(
        global_batch=batch,
        learning_rate=rate if reached else None,
        edge=_edge(rate, rates) if reached else None,
        reported=reported,
        selected_on_same_seeds=bool(reached) and not others,
        naive_minimum=reached[0] if reached else None,
        median=_known(math.sqrt(middle[0] * middle[1])),
        low=_known(steps[0]),
        high=_known(steps[-1]),
        counts={"reached": counts["reached"], "missed": counts["missed"], "diverged": counts["diverged"]},
    )


def _best_rate(trials: Sequence[Trial]) -> float:
    by_rate: dict[float, tuple[int, float, int]] = {}
    for rate in {trial.learning_rate for trial in trials}:
        at_rate = [trial for trial in trials if trial.learning_rate == rate]
        logs = [math.log(trial.steps) for trial in at_rate if trial.steps is not None]
        diverged = sum(trial.status == "diverged" for trial in at_rate)
        # Rounded so that the sum's last bit does not decide between equal intervals.
        by_rate[rate] = (-len(logs), round(statistics.fmean(logs), 9) if logs else 0.0, diverged)
    equal = sorted(rate for rate, key in by_rate.items() if key == min(by_rate.values()))
    return equal[(len(equal) - 1) // 2]


def _edge(rate: float, rates: list[float]) -> Literal["low", "high"] | None:
    if len(rates) == 1 or rates[0] < rate < rates[-1]:
        return None
    return "low" if rate == rates[0] else "high"


def _rising(batches: Sequence[BatchResult]) -> list[str]:
    """More steps at a larger batch, and by more than seeds and evaluation points explain."""
    known = [batch for batch in batches if batch.high is not None]
    for index, larger in enumerate(known):
        for smaller in known[:index]:
            least = min(trial.steps_low for trial in larger.reported)
            most = max(trial.steps_high or 0 for trial in smaller.reported)
            if least >= most:
                rising = f"batch {larger.global_batch:,} took more steps than batch {smaller.global_batch:,}"
                numbers = f"at least {least:,} against at most {most:,}"
                return [f"{rising} ({numbers}), which the curve can't follow: tune the learning rate of the larger one"]
    return []


def _rates(trials: Sequence[Trial], batch: int) -> list[float]:
    return sorted({trial.learning_rate for trial in trials if trial.global_batch == batch})


def _known(steps: float) -> float | None:
    return steps if math.isfinite(steps) else None


def _named(batches: Sequence[int]) -> str:
    return f"batch{'es' if len(batches) > 1 else ''} {', '.join(f'{batch:,}' for batch in batches)}"
