"""The rate of each batch is chosen on some seeds and reported on others, and what weakens the result is said."""

import pytest

from harness.scaling.fit.selection import BatchResult, select, warnings
from harness.scaling.tables.trials import Status, Trial


def trial(rate: float, seed: int, steps: int | None, batch: int = 64, status: Status = "missed") -> Trial:
    """One that first reached the target at `steps`, evaluated every 10; or ended at 1,000 with `status`."""
    if steps is None:
        return Trial(batch, rate, seed, 1000, None, status)
    return Trial(batch, rate, seed, steps - 10, steps, "reached")


def only(trials: list[Trial], select_seeds: int = 1) -> BatchResult:
    (result,) = select(trials, select_seeds)
    return result


def test_a_rate_is_chosen_on_the_first_seeds_and_reported_on_the_others() -> None:
    trials = [
        *(trial(0.1, seed, steps) for seed, steps in ((3, 150), (4, 100), (5, 100))),
        *(trial(0.2, seed, steps) for seed, steps in ((3, 120), (4, 200), (5, 220), (9, 180))),
        *(trial(0.4, seed, steps) for seed, steps in ((3, 160), (4, 105))),
    ]
    result = only(trials)
    assert result.learning_rate == 0.2, "on seed 3 it is the best one, on the others the worst"
    assert result.edge is None
    assert [trial.seed for trial in result.reported] == [4, 5, 9]
    assert not result.selected_on_same_seeds
    assert (result.low, result.median, result.high) == pytest.approx(
        ((170 * 180) ** 0.5, (190 * 200) ** 0.5, (210 * 220) ** 0.5)
    )
    assert result.naive_minimum == pytest.approx((90 * 100) ** 0.5)
    assert result.counts == {"reached": 9, "missed": 0, "diverged": 0}

    assert only(trials, select_seeds=2).learning_rate == 0.1, "on seeds 3 and 4 together"


def test_more_seeds_that_reached_the_target_come_before_fewer_steps() -> None:
    trials = [trial(0.1, 0, 500), trial(0.1, 1, 500), trial(0.2, 0, 100), trial(0.2, 1, None), trial(0.1, 2, 480)]
    assert only(trials, select_seeds=2).learning_rate == 0.1


@pytest.mark.parametrize(
    ("rates", "chosen"),
    [((0.1, 0.2, 0.4), 0.2), ((0.1, 0.2), 0.1), ((0.1, 0.2, 0.4, 0.8), 0.2)],
)
def test_of_rates_with_equal_steps_the_middle_one_is_taken(rates: tuple[float, ...], chosen: float) -> None:
    assert only([trial(rate, 0, 100) for rate in (*rates, 0.05 * rates[0])][:-1]).learning_rate == chosen


def test_the_best_rate_at_the_edge_of_those_tried_is_unbracketed() -> None:
    trials = [trial(0.1, 0, 120), trial(0.2, 0, 100), trial(0.4, 0, 150)]
    assert only(trials).edge is None
    assert only(trials[1:]).edge == "low"
    assert only(trials[:2]).edge == "high"
    assert only([*trials[:2], trial(0.4, 0, None, status="diverged")]).edge is None, "a diverged rate is tried too"
    assert only(trials[:1]).edge is None, "nothing was selected"
    (line,) = warnings(select([*trials[:2], trial(0.1, 1, 120), trial(0.2, 1, 100), trial(0.2, 2, 100)], 1), trials[:2])
    for fact in ("batch 64: unbracketed", "0.2, is the highest tried", "run higher ones"):
        assert fact in line


def test_the_seeds_of_the_selection_are_reported_where_there_are_no_others_and_that_is_said() -> None:
    trials = [trial(rate, 0, steps, batch) for batch in (64, 128) for rate, steps in ((1, 120), (2, 100), (3, 120))]
    batches = select(trials, 1)
    assert all(batch.selected_on_same_seeds and len(batch.reported) == 1 for batch in batches)
    told = warnings(batches, trials)
    of_selection, of_seeds = told
    assert of_selection.startswith("batches 64, 128: ")
    assert "selected on the seeds it is reported on" in of_selection
    assert "one seed" in of_seeds


def test_a_single_rate_is_reported_on_all_seeds() -> None:
    trials = [trial(0.1, seed, 100 + seed, batch) for batch in (64, 128) for seed in range(3)]
    batches = select(trials, 1)
    assert [len(batch.reported) for batch in batches] == [3, 3]
    assert not any(batch.selected_on_same_seeds for batch in batches)
    assert warnings(batches, trials) == []

    trials += [trial(0.2, seed, 200, 128) for seed in range(3)] + [trial(0.05, 0, 200, 128)]
    (line,) = warnings(select(trials, 1), trials)
    assert line.startswith("batch 64: one learning rate was tried"), "the other batch has three"


def test_trials_that_missed_or_diverged_stay_in() -> None:
    trials = [
        *(trial(0.1, 0, None), trial(0.2, 0, 100), trial(0.4, 0, None, status="diverged")),
        *(trial(0.2, 1, 110), trial(0.2, 2, None), trial(0.2, 3, None, status="diverged")),
    ]
    result = only(trials)
    assert [trial.status for trial in result.reported] == ["reached", "missed", "diverged"]
    assert result.counts == {"reached": 2, "missed": 2, "diverged": 2}
    assert result.low == pytest.approx((100 * 110) ** 0.5)
    assert result.median is None
    assert result.high is None
    told = warnings([result], trials)
    assert "batch 64: 1 of 3 reported trials diverged" in told[0]
    assert told[1].startswith("batch 64: ")
    assert "the median reported trial did not reach" in told[1]

    result = only([*trials, trial(0.2, 4, 120), trial(0.2, 5, 130)])
    assert result.median == pytest.approx((120 * 130) ** 0.5), "of 110, 120, 130 and two that never did"
    assert result.high is None
    result = only([*trials, trial(0.2, 4, 120)])
    assert result.median is None, "between the second and the third of four, and the third is not known"


def test_where_no_rate_reached_the_target_none_is_selected() -> None:
    trials = [trial(rate, seed, None) for rate in (0.1, 0.2, 0.4) for seed in range(2)]
    result = only(trials)
    assert result.learning_rate is None
    assert result.edge is None
    assert result.naive_minimum is None
    assert not result.selected_on_same_seeds
    assert {trial.learning_rate for trial in result.reported} == {0.2}, "the middle one stands for them, censored"

    result = only([trial(0.1, 0, None), *(trial(rate, 0, None, status="diverged") for rate in (0.2, 0.4))])
    assert [trial.learning_rate for trial in result.reported] == [0.1], "rather than one that diverged"
    assert result.edge is None


def test_where_only_other_seeds_reached_the_target_these_select_too() -> None:
    trials = [trial(rate, 0, None) for rate in (0.1, 0.2, 0.4)] + [trial(0.1, 1, None), trial(0.4, 1, 200)]
    result = only(trials)
    assert result.learning_rate == 0.4
    assert result.selected_on_same_seeds
    assert [trial.status for trial in result.reported] == ["missed", "reached"]


def test_steps_that_rise_with_the_batch_beyond_their_range_are_told() -> None:
    def at(batch: int, *steps: int) -> list[Trial]:
        return [trial(0.1, seed, count, batch) for seed, count in enumerate(steps)]

    falling = at(16, 500, 520) + at(32, 300, 320)
    within = falling + at(64, 310, 330)
    beyond = falling + at(64, 340, 360)
    assert warnings(select(within, 1), within) == []
    (line,) = warnings(select(beyond, 1), beyond)
    for fact in ("batch 64 took more steps than batch 32", "at least 330 against at most 320"):
        assert fact in line
