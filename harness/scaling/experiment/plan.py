"""Which trials an experiment needs next, given those that are done: a pure function; a killed experiment asks again."""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Self

from harness.config.scale import Experiment
from harness.scaling.fit.selection import BatchResult, select
from harness.scaling.tables.trials import Trial


class Setting(NamedTuple):
    """What distinguishes one trial from another."""

    global_batch: int
    learning_rate: float
    seed: int

    @classmethod
    def of(cls, trial: Trial) -> Self:
        """That of a trial that is done."""
        return cls(trial.global_batch, trial.learning_rate, trial.seed)

    @property
    def name(self) -> str:
        """Names the trial's files."""
        return f"b{self.global_batch}-lr{self.learning_rate:.6g}-s{self.seed}"


def next_settings(
    experiment: Experiment,
    done: Sequence[Trial],
    failed: Collection[Setting] = (),
    unfinished: Collection[Setting] = (),
) -> list[Setting]:
    """The trials to run now; none where the experiment is complete.

    At each batch the grid of rates comes first, on the seeds for selection, and with it the rates that were tried under
    an earlier grid, since the fit sees them too. Where the best rate is the lowest or the highest the grid is extended
    there, up to `max_extend` times on a side; where none reached the target, down if the highest diverged and up if
    not. Then the best one is run on the seeds for the report.

    Args:
        experiment: what is asked for.
        done: the results so far; those of batches that are not asked for are left alone.
        failed: settings that came to no result; the plan goes on without them.
        unfinished: those of `done` to be resumed, if they are still asked for.
    """
    known = {Setting.of(trial) for trial in done} - {*unfinished} | {*failed}
    return [
        setting for batch in experiment.scale.global_batches for setting in _at_batch(experiment, batch, done, known)
    ]


def trials_of_a_batch(experiment: Experiment, extensions: int = 0) -> int:
    """How many trials each batch takes if its grid is extended so often."""
    scale = experiment.scale
    return (len(scale.learning_rate.multipliers) + extensions) * scale.seeds.select + scale.seeds.report


def expected_trials(experiment: Experiment) -> int:
    """How many trials it takes if no grid has to be extended."""
    return len(experiment.scale.global_batches) * trials_of_a_batch(experiment)


def _at_batch(experiment: Experiment, batch: int, done: Sequence[Trial], known: Collection[Setting]) -> list[Setting]:
    scale = experiment.scale
    first = experiment.seed
    selecting = range(first, first + scale.seeds.select)
    reporting = range(first + scale.seeds.select, first + scale.seeds.select + scale.seeds.report)
    own = [trial for trial in done if trial.global_batch == batch]

    def missing(rates: Sequence[float], seeds: range) -> list[Setting]:
        return [s for rate in rates for seed in seeds if (s := Setting(batch, rate, seed)) not in known]

    grid = scale.learning_rate.at(batch)
    rates = sorted({*grid, *(trial.learning_rate for trial in own)})
    while not (wanted := missing(rates, selecting)):
        tried = [trial for trial in own if trial.seed in selecting and trial.learning_rate in rates]
        if not tried:
            return []
        (result,) = select(tried, scale.seeds.select)
        beyond = _beyond(result, rates, tried)
        if beyond is None or _extensions(grid, rates, beyond) >= scale.max_extend:
            return [] if result.learning_rate is None else missing([result.learning_rate], reporting)
        rates = sorted([*rates, beyond])
    return wanted


def _extensions(grid: Sequence[float], rates: Sequence[float], beyond: float) -> int:
    """How many of the rates lie outside the grid, on the side of `beyond`."""
    return sum(rate > grid[-1] if beyond > grid[-1] else rate < grid[0] for rate in rates)


def _beyond(result: BatchResult, rates: Sequence[float], tried: Sequence[Trial]) -> float | None:
    """The rate that continues the grid where the best one lies at its edge; None where it does not, or is no grid."""
    if len(rates) == 1:
        return None
    edge = result.edge
    if result.learning_rate is None:
        at_highest = {trial.status for trial in tried if trial.learning_rate == rates[-1]}
        edge = "low" if "diverged" in at_highest else "high"
    if edge is None:
        return None
    last, before = (rates[0], rates[1]) if edge == "low" else (rates[-1], rates[-2])
    return float(f"{last * last / before:.6g}")
