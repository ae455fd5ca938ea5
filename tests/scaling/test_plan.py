"""Which trials an experiment needs next: a pure function of the config and of what is done."""

from collections.abc import Callable
from typing import Any

import pytest

from harness.config import resolve
from harness.config.scale import Experiment
from harness.scaling.experiment.plan import Setting, expected_trials, next_settings
from harness.scaling.tables.trials import Trial


@pytest.fixture
def experiment() -> Callable[..., Experiment]:
    """One batch of 64 at the rates 0.1, 0.2, 0.4; selected on seed 3, reported on 4 and 5."""

    def build(**scale: Any) -> Experiment:
        base = resolve({"seed": 3, "train": {"ema": 0.9}, "schedule": {"name": "constant"}})
        section = {
            "global_batches": [64],
            "learning_rate": {"base": 0.2, "base_batch": 64, "multipliers": [0.5, 1.0, 2.0]},
            "seeds": {"select": 1, "report": 2},
            "target": {"at_least": 0.9},
            "evaluate_every": "100 examples",
            "max_examples": 10_000,
        }
        own = {key: value for key, value in base.model_dump().items() if key in ("seed", "train", "schedule")}
        return Experiment.model_validate({**own, "scale": section | scale})

    return build


def trial(rate: float, steps: int | None, seed: int = 3, diverged: bool = False) -> Trial:
    if steps is None:
        return Trial(64, rate, seed, 100, None, "diverged" if diverged else "missed")
    return Trial(64, rate, seed, steps - 1, steps, "reached")


def played(experiment: Experiment, steps_at: Callable[[float], int | None]) -> list[Setting]:
    """All settings that are asked for, each answered as it is asked for."""
    done: list[Trial] = []
    while wanted := next_settings(experiment, done):
        batch, rate, seed = wanted[0]
        steps = steps_at(rate)
        done.append(Trial(batch, rate, seed, (steps or 100) - 1, steps, "reached" if steps else "missed"))
    return [Setting(t.global_batch, t.learning_rate, t.seed) for t in done]


def test_the_grid_comes_first_on_the_seeds_for_selection(experiment: Callable[..., Experiment]) -> None:
    assert next_settings(experiment(), []) == [Setting(64, rate, 3) for rate in (0.1, 0.2, 0.4)]
    assert next_settings(experiment(), [trial(0.2, 9)]) == [Setting(64, 0.1, 3), Setting(64, 0.4, 3)]


def test_the_best_rate_is_then_run_on_the_seeds_for_the_report(experiment: Callable[..., Experiment]) -> None:
    done = [trial(0.1, 30), trial(0.2, 20), trial(0.4, 25)]
    assert next_settings(experiment(), done) == [Setting(64, 0.2, 4), Setting(64, 0.2, 5)]
    done += [trial(0.2, 22, seed=4), trial(0.2, None, seed=5)]
    assert next_settings(experiment(), done) == []


@pytest.mark.parametrize(("steps", "next_rate"), [((10, 20, 30), 0.05), ((30, 20, 10), 0.8)])
def test_a_best_rate_at_the_edge_extends_the_grid_there(
    experiment: Callable[..., Experiment], steps: tuple[int, int, int], next_rate: float
) -> None:
    done = [trial(rate, count) for rate, count in zip((0.1, 0.2, 0.4), steps, strict=True)]
    assert next_settings(experiment(), done) == [Setting(64, next_rate, 3)]
    assert next_settings(experiment(max_extend=0), done)[0].seed == 4


def test_the_grid_is_extended_until_the_best_rate_is_inside_it_or_enough_was_tried(
    experiment: Callable[..., Experiment],
) -> None:
    asked = played(experiment(max_extend=4), lambda rate: round(abs(rate - 0.8) * 100) + 10)
    assert [setting.learning_rate for setting in asked] == [0.1, 0.2, 0.4, 0.8, 1.6, 0.8, 0.8]
    asked = played(experiment(max_extend=2), lambda rate: round(1000 / rate))
    assert [setting.learning_rate for setting in asked] == [0.1, 0.2, 0.4, 0.8, 1.6, 1.6, 1.6]


def test_where_none_reaches_the_target_lower_rates_are_tried_if_the_highest_diverged_and_higher_ones_if_not(
    experiment: Callable[..., Experiment],
) -> None:
    missed = [trial(0.1, None), trial(0.2, None)]
    assert next_settings(experiment(), [*missed, trial(0.4, None)]) == [Setting(64, 0.8, 3)]
    assert next_settings(experiment(), [*missed, trial(0.4, None, diverged=True)]) == [Setting(64, 0.05, 3)]
    assert len(played(experiment(max_extend=2), lambda rate: None)) == 5


def test_a_failed_trial_is_gone_without(experiment: Callable[..., Experiment]) -> None:
    done = [trial(0.1, 30), trial(0.2, 20)]
    assert next_settings(experiment(max_extend=0), done, {Setting(64, 0.4, 3)}) == [
        Setting(64, 0.2, 4),
        Setting(64, 0.2, 5),
    ]
    everything = {Setting(64, rate, 3) for rate in (0.1, 0.2, 0.4)}
    assert next_settings(experiment(), [], everything) == []


def test_rates_of_an_earlier_grid_are_chosen_among_too_as_the_fit_does(experiment: Callable[..., Experiment]) -> None:
    done = [trial(0.05, 5), trial(0.1, 30), trial(0.2, 20), trial(0.4, 25)]
    assert next_settings(experiment(max_extend=1), done) == [Setting(64, 0.05, 4), Setting(64, 0.05, 5)]
    assert next_settings(experiment(max_extend=2), done) == [Setting(64, 0.025, 3)]
    done = [trial(0.05, 30), trial(0.1, 25), trial(0.2, 20), trial(0.4, 5)]
    assert next_settings(experiment(max_extend=1), done) == [Setting(64, 0.8, 3)], "nothing was tried on that side"


def test_an_unfinished_trial_goes_on_if_it_is_still_asked_for(experiment: Callable[..., Experiment]) -> None:
    done = [trial(0.1, 30), trial(0.2, 20), trial(0.4, None), trial(0.2, None, seed=9)]
    short = [Setting(64, 0.4, 3), Setting(64, 0.2, 9)]
    assert next_settings(experiment(), done, unfinished=short) == [Setting(64, 0.4, 3)]
    assert next_settings(experiment(), done, short, short)[0] == Setting(64, 0.2, 4), "it failed when it went on"


def test_a_single_rate_is_taken_as_it_is(experiment: Callable[..., Experiment]) -> None:
    one = experiment(learning_rate={"base": 0.2, "base_batch": 64, "multipliers": [1.0]})
    assert [setting.seed for setting in played(one, lambda rate: 9)] == [3, 4, 5]


def test_batches_come_in_the_order_of_the_config_and_do_not_wait_for_each_other(
    experiment: Callable[..., Experiment],
) -> None:
    two = experiment(global_batches=[64, 256])
    done = [trial(0.1, 30), trial(0.2, 20), trial(0.4, 25)]
    assert next_settings(two, done) == [
        *(Setting(64, 0.2, seed) for seed in (4, 5)),
        *(Setting(256, rate, 3) for rate in (0.2, 0.4, 0.8)),
    ]
    assert expected_trials(two) == 2 * (3 + 2)
