"""The fit finds the curve that the trials were drawn from, says how sure it is, and where they do not settle it."""

import dataclasses
import math
import re
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import optimize, stats  # type: ignore[import-untyped]

from harness.errors import DataError
from harness.scaling.fit import likelihood, profile
from harness.scaling.fit.curve import Estimate, Fit, analyse, next_batch, rounded, spread_of
from harness.scaling.fit.likelihood import Observations
from harness.scaling.tables.trials import Trial

S_MIN, B_CRIT = 300.0, 200.0
BATCHES = tuple(2**power for power in range(4, 13))


def draw(
    random: np.random.Generator,
    batches: Sequence[int] = BATCHES,
    seeds: int = 3,
    sigma: float = 0.1,
    interval: float = 0.05,
    budget: float = math.inf,
    s_min: float = S_MIN,
) -> list[Trial]:
    """Trials of the model, evaluated at every `interval` of the expected steps, with a budget of examples for each."""
    trials = []
    for batch in batches:
        expected = s_min * (1 + B_CRIT / batch)
        every = max(1, round(interval * expected))
        for seed in range(seeds):
            hit = math.ceil(expected * math.exp(sigma * random.normal()) / every) * every
            if hit * batch <= budget:
                trials.append(Trial(batch, 0.1, seed, hit - every, hit, "reached"))
            else:
                trials.append(Trial(batch, 0.1, seed, int(budget // batch // every * every), None, "missed"))
    return trials


@pytest.fixture(scope="module")
def fit() -> Fit:
    return analyse(draw(np.random.default_rng(0))).fit


@pytest.mark.slow
@pytest.mark.parametrize("budget", [math.inf, 3e5])
def test_what_the_trials_were_drawn_from_is_inside_the_interval_in_90_to_99_percent_of_draws(budget: float) -> None:
    inside = dict.fromkeys(("s_min", "e_min", "b_crit"), 0)
    censored = 0
    for seed in range(60):
        trials = draw(np.random.default_rng(seed), budget=budget)
        censored += sum(trial.steps_high is None for trial in trials)
        observations = Observations.of(trials)
        intervals = profile.intervals(observations, *profile.best_fit(observations))
        for name, truth in (("s_min", S_MIN), ("e_min", S_MIN * B_CRIT), ("b_crit", B_CRIT)):
            inside[name] += intervals[name][0] <= truth <= intervals[name][1]
    assert all(54 <= count <= 59 for count in inside.values()), inside
    assert (censored > 0.3 * 27 * 60) == math.isfinite(budget)


def test_with_fine_intervals_the_fit_is_least_squares_on_logs_and_its_interval_students() -> None:
    trials = draw(np.random.default_rng(1), interval=1e-7, s_min=1e7, seeds=2)
    batch = np.array([trial.global_batch for trial in trials])
    log_steps = np.log(np.array([trial.steps_high for trial in trials], float))

    def curve(batch: np.ndarray, log_s_min: float, log_b_crit: float) -> np.ndarray:
        logs: np.ndarray = log_s_min + np.log1p(np.exp(log_b_crit) / batch)
        return logs

    def squares(log_b_crit: float) -> float:
        rest = log_steps - curve(batch, 0, log_b_crit)
        return float(((rest - rest.mean()) ** 2).sum())

    expected, _ = optimize.curve_fit(curve, batch, log_steps, p0=(10, 5), ftol=1e-14, xtol=1e-14)
    fit = analyse(trials).fit
    assert fit.s_min.value == pytest.approx(math.exp(expected[0]), rel=1e-4)
    assert fit.b_crit.value == pytest.approx(math.exp(expected[1]), rel=1e-4)
    least = squares(expected[1])
    assert fit.sigma == pytest.approx(math.sqrt(least / len(trials)), rel=1e-3)
    degrees = len(trials) - 2
    for end in (fit.b_crit.low, fit.b_crit.high):
        t_squared = (squares(math.log(end)) / least - 1) * degrees
        assert math.sqrt(t_squared) == pytest.approx(stats.t.ppf(0.975, degrees), rel=2e-3)


def test_derivatives_are_those_of_the_likelihood() -> None:
    random = np.random.default_rng(2)
    trials = [*draw(random, budget=4e5), Trial(16, 0.1, 9, 0, 9000, "reached")]
    observations = Observations.of(trials)
    at = np.array([math.log(S_MIN), math.log(B_CRIT), math.log(0.1)]) + random.normal(0, 0.4, (6, 3))
    counts = random.integers(0, 3, (6, len(trials))).astype(float)
    _, gradient, hessian = likelihood.derivatives(observations, at, counts)
    for index in range(3):
        step = np.zeros(3)
        step[index] = 1e-5
        above, below = (likelihood.derivatives(observations, at + sign * step, counts) for sign in (1, -1))
        assert (above[0] - below[0]) / 2e-5 == pytest.approx(gradient[:, index], rel=1e-6)
        assert (above[1] - below[1]) / 2e-5 == pytest.approx(hessian[:, index], rel=1e-5, abs=1e-3)


def test_the_likelihood_keeps_its_digits_in_the_tails() -> None:
    observations = Observations(np.zeros(3), np.array([40.0, -41.0, 40.0]), np.array([41.0, -40.0, math.inf]))
    at = np.tile([0.0, -30.0, 0.0], (3, 1))
    logs, _, _ = likelihood.derivatives(observations, at, np.eye(3))  # a trial each
    assert logs == pytest.approx(np.full(3, stats.norm.logsf(40)), rel=1e-12)


def test_no_other_start_leads_to_a_higher_likelihood() -> None:
    """Against a method without derivatives, on trials that a curve can hardly follow."""
    random = np.random.default_rng(3)
    for _ in range(10):
        trials = []
        for batch in BATCHES[::2]:
            low = int(10 ** random.uniform(1, 4))
            reached = batch < 100 or random.random() < 0.5
            trials.append(
                Trial(batch, 0.1, 0, low, 2 * low, "reached") if reached else Trial(batch, 0.1, 0, low, None, "missed")
            )
        observations = Observations.of(trials)
        _, value = profile.best_fit(observations)

        def loss(at: np.ndarray, observations: Observations = observations) -> float:
            at = np.clip(at, [-30, -10, math.log(1e-3)], [30, 20, math.log(20)])
            return -float(likelihood.derivatives(observations, at[None], np.ones((1, 5)))[0][0])

        others = [
            optimize.minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}).fun
            for start in likelihood.starts(observations)[1:-1:2]
        ]
        assert value >= -min(others) - 1e-5


def test_e_min_is_s_min_times_b_crit(fit: Fit) -> None:
    assert fit.e_min.value == fit.s_min.value * fit.b_crit.value
    for estimate in (fit.s_min, fit.e_min, fit.b_crit, *fit.bootstrap.values()):
        assert 0 < estimate.low < estimate.value < estimate.high < math.inf


def test_the_bootstrap_is_a_function_of_its_seed(fit: Fit) -> None:
    trials = draw(np.random.default_rng(0))
    assert analyse(trials).fit.bootstrap == fit.bootstrap
    other = analyse(trials, seed=1).fit
    assert other.bootstrap != fit.bootstrap
    assert other.b_crit == fit.b_crit
    assert other.bootstrap["b_crit"].low == pytest.approx(fit.bootstrap["b_crit"].low, rel=0.1)


def test_the_bootstrap_draws_batches_and_seeds() -> None:
    """With no noise between seeds, and a batch off the curve, only the batches make a difference."""
    trials = draw(np.random.default_rng(0), sigma=0, interval=1e-6, s_min=1e7)
    exact = analyse(trials).fit
    assert exact.bootstrap["b_crit"].high - exact.bootstrap["b_crit"].low < 0.01 * B_CRIT
    off = [
        dataclasses.replace(trial, steps_low=2 * trial.steps_low, steps_high=2 * trial.steps_low + 10)
        if trial.global_batch == 512
        else trial
        for trial in trials
    ]
    by_batch = analyse(off).fit
    assert by_batch.bootstrap["b_crit"].high - by_batch.bootstrap["b_crit"].low > 0.3 * B_CRIT
    # Two batches: half of all draws have one of them only.
    two = analyse(draw(np.random.default_rng(0), batches=(16, 1024))).fit
    assert 250 < two.redrawn < 600
    assert two.bootstrap["b_crit"].low < two.bootstrap["b_crit"].high, "the seeds within each batch are drawn too"


def test_the_curve_and_its_band(fit: Fit) -> None:
    steps = fit.steps([16, B_CRIT, 1e9])
    assert steps == pytest.approx([fit.s_min.value * (1 + fit.b_crit.value / batch) for batch in (16, B_CRIT, 1e9)])
    low, high = fit.band([16, 200, 4096])
    assert (low < fit.steps([16, 200, 4096])).all()
    assert (fit.steps([16, 200, 4096]) < high).all()
    assert (high / low < 1.3).all()


def test_without_the_censored_trials_large_batches_would_look_better() -> None:
    """At the largest batches only the lucky trials reach the target within the budget."""
    reached = draw(np.random.default_rng(4), sigma=0.25, seeds=5)
    limit = {1024: 320, 2048: 280, 4096: 260}
    kept = [
        trial
        if trial.steps_high is not None and trial.steps_high <= limit.get(trial.global_batch, math.inf)
        else Trial(trial.global_batch, 0.1, trial.seed, limit[trial.global_batch], None, "missed")
        for trial in reached
    ]
    assert sum(trial.status == "missed" for trial in kept) > 5
    flattered = analyse([trial for trial in kept if trial.status == "reached"]).fit
    honest, full = analyse(kept).fit, analyse(reached).fit
    assert flattered.b_crit.value > 1.15 * full.b_crit.value
    assert honest.b_crit.value == pytest.approx(full.b_crit.value, rel=0.1)
    diverged = [dataclasses.replace(t, status="diverged") if t.status == "missed" else t for t in kept]
    assert analyse(diverged).fit.b_crit == honest.b_crit, "where they diverged they had not reached it either"


def test_batches_on_both_sides_of_b_crit_identify_it(fit: Fit) -> None:
    assert fit.identified
    assert fit.spread == pytest.approx(spread_of(BATCHES, fit.b_crit.value))
    assert fit.bound is None
    assert fit.next_batch is None
    assert fit.without_largest is not None
    assert fit.without_largest.low < B_CRIT < fit.without_largest.high
    assert fit.without_largest != fit.b_crit


def test_the_spread_is_that_of_w() -> None:
    assert spread_of([100, 300, 900], 300) == pytest.approx(1 / 8), "w is 3/4, 1/2 and 1/4"


@pytest.mark.parametrize(
    ("batches", "bound", "direction"),
    [
        ((8, 16, 32), r"B_crit is at least [\d.]+ \(95%", 1),
        ((2048, 4096, 8192), r"B_crit is at most [\d,]+ \(95%", -1),
    ],
)
def test_batches_on_one_side_of_b_crit_give_a_bound_and_the_next_batch(
    batches: tuple[int, ...], bound: str, direction: int
) -> None:
    fit = analyse(draw(np.random.default_rng(5), batches=batches)).fit
    assert not fit.identified
    assert fit.spread < 0.1
    assert fit.bound is not None
    assert re.match(bound, fit.bound)
    assert fit.next_batch is not None
    if direction > 0:
        assert (fit.b_crit.high, fit.s_min.low) == (math.inf, 0)
        assert fit.b_crit.low < B_CRIT
        assert fit.next_batch > max(batches)
    else:
        assert (fit.b_crit.low, fit.e_min.low) == (0, 0)
        assert fit.b_crit.high > B_CRIT
        assert fit.next_batch < min(batches)


def test_an_interval_without_an_end_does_not_count_as_identified() -> None:
    fit = analyse(draw(np.random.default_rng(6), batches=(16, 1024), seeds=1)).fit
    assert fit.spread > 0.1
    assert not fit.identified
    assert fit.bound == "these trials bound B_crit on neither side"


@pytest.mark.parametrize(
    ("batches", "b_crit", "expected"),
    [
        ([16, 32, 64], Estimate(200, 100, 300), 256),  # with 128 the spread is 0.057, with 256 0.141
        ([1024, 2048, 4096], Estimate(200, 100, 300), 128),  # with 256 the spread is 0.093, with 128 0.202
        ([16, 32, 64], Estimate(5e6, 100, math.inf), 128),  # nothing is known but that it is at least 100
        ([16, 32, 64], Estimate(1e-4, 0, 10), 8),  # or at most 10
        ([15, 45], Estimate(1, 0.5, 2), 46080),  # odd, so nothing below; and nothing above helps enough
        ([64, 128, 256], Estimate(128, 0, math.inf), 512),  # nothing is known; 32 would help as much
    ],
)
def test_the_next_batch_is_the_nearest_that_would_identify_b_crit(
    batches: list[int], b_crit: Estimate, expected: int
) -> None:
    assert next_batch(batches, b_crit) == expected


def test_a_curve_through_every_interval_is_fitted_too() -> None:
    fit = analyse(draw(np.random.default_rng(0), sigma=0)).fit
    assert fit.sigma < 0.02
    assert fit.b_crit.low < B_CRIT < fit.b_crit.high


def test_steps_that_rise_with_the_batch_are_fitted_and_warned_of() -> None:
    trials = [Trial(b, 0.1, seed, 10 * b + seed, 10 * b + seed + 5, "reached") for b in (16, 32, 64) for seed in (0, 1)]
    analysis = analyse(trials)
    assert not analysis.fit.identified
    assert analysis.fit.b_crit.low == 0
    assert any("took more steps than batch 16" in line for line in analysis.warnings)


def test_two_batch_sizes_are_fitted_and_warned_of() -> None:
    analysis = analyse(draw(np.random.default_rng(0), batches=(16, 1024)))
    assert analysis.fit.b_crit.low < B_CRIT < analysis.fit.b_crit.high
    assert analysis.fit.without_largest is None
    (line,) = analysis.warnings
    assert line.startswith("two batch sizes ")
    assert "16 and 1,024" in line


def test_one_seed_is_fitted_and_warned_of() -> None:
    analysis = analyse(draw(np.random.default_rng(0), seeds=1))
    assert analysis.fit.identified
    (line,) = analysis.warnings
    assert "one seed" in line


def test_what_cannot_be_fitted_says_what_is_missing() -> None:
    trials = draw(np.random.default_rng(0), batches=(16, 64, 256))
    missed = [dataclasses.replace(trial, steps_high=None, status="missed") for trial in trials]
    first = [dataclasses.replace(trial, steps_low=0) for trial in trials]
    cases = [
        ([], ["no trials"]),
        (trials[:3], ["all trials have batch 16", "two batch sizes or more"]),
        (missed, ["none of the 9 trials", "scale.max_examples or max_seconds"]),
        (trials[:3] + missed[3:], ["only batch 16", "B_crit needs two"]),
        (first, ["first evaluation", "evaluate more often"]),
    ]
    for given, told in cases:
        with pytest.raises(DataError) as caught:
            analyse(given)
        for fact in told:
            assert fact in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_trial_that_ended_before_its_first_evaluation_says_nothing(fit: Fit) -> None:
    trials = draw(np.random.default_rng(0))
    nothing = [Trial(8192, 0.1, seed, 0, None, "diverged") for seed in range(3)]
    assert analyse([*trials, *nothing]).fit.b_crit == fit.b_crit


def test_numbers_in_sentences_have_three_digits() -> None:
    assert [rounded(value) for value in (0.012345, 41.26, 999.4, 1234.5, 1234567)] == [
        *("0.0123", "41.3", "999", "1,230", "1,230,000")
    ]
