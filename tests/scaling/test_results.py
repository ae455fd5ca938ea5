"""What scaling.json holds follows from the trials and the measurements, by numbers worked out by hand."""

import json
import math
from typing import Any

import numpy as np
import pytest

from harness.scaling.fit import costs
from harness.scaling.fit.curve import Analysis, analyse
from harness.scaling.fit.noise_comparison import weighted_average
from harness.scaling.fit.results import results
from harness.scaling.tables.measurements import NoiseWindow, Throughput
from harness.scaling.tables.trials import Trial

BATCHES = (16, 64, 256, 1024)


def trials(batches: tuple[int, ...] = BATCHES, s_min: float = 200, b_crit: float = 128) -> list[Trial]:
    """Three seeds about the curve: 2 % below, on it, 2 % above; evaluated every 1 %."""
    made = []
    for batch in batches:
        expected = s_min * (1 + b_crit / batch)
        for seed, factor in enumerate((0.98, 1, 1.02)):
            high = math.ceil(expected * factor)
            made.append(Trial(batch, 0.1, seed, high - max(1, round(expected / 100)), high, "reached"))
    return made


def noise(batch: int, seed: int, *windows: tuple[int, int, float | None]) -> list[NoiseWindow]:
    """First step, last step, B_simple; the interval is half to double, the preconditioned one a tenth of it all."""
    rows = []
    for first, last, value in windows:
        three = (None, None, None) if value is None else (value, value / 2, 2 * value)
        tenth = [None if number is None else number / 10 for number in three]
        rows.append(NoiseWindow(batch, 0.1, seed, first, last, *three, *tenth))
    return rows


def speed(batch: int, replicas: int, images: float, cores: int = 8, spread: float = 0.0) -> Throughput:
    return Throughput(batch, replicas, cores, images, images * (1 - spread), images * (1 + spread), "a machine")


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyse(trials())


def found(analysis: Analysis, throughput: Any = (), windows: Any = (), target: str | None = None) -> dict[str, Any]:
    result = results(analysis, throughput, windows, target)
    assert json.loads(json.dumps(result, allow_nan=False)) == result, "plain values only"
    return result


def test_the_fit_is_told_with_both_definitions_of_a_critical_batch(analysis: Analysis) -> None:
    result = found(analysis, target="validation.accuracy at least 0.985")
    fit = analysis.fit
    assert result["target"] == "validation.accuracy at least 0.985"
    for name in ("s_min", "e_min", "b_crit"):
        estimate = getattr(fit, name)
        assert result[name] == {"value": estimate.value, "low": estimate.low, "high": estimate.high}
        assert result["bootstrap"][name]["value"] == fit.bootstrap[name].value
    critical = result["critical_batch"]
    assert critical["e_min_over_s_min"]["value"] == pytest.approx(result["e_min"]["value"] / result["s_min"]["value"])
    linear = critical["within_20_percent_of_linear"]
    examples = fit.steps([linear["value"]])[0] * linear["value"]
    assert examples == pytest.approx(1.2 * result["e_min"]["value"])
    assert linear["low"] < linear["value"] < linear["high"]
    assert (result["identified"], result["bound"], result["next_batch"]) == (True, None, None)
    assert result["without_largest"]["low"] < 128 < result["without_largest"]["high"]
    assert (result["noise_scale"], result["throughput"], result["seconds_to_target"]) == (None, [], [])
    assert result["warnings"] == []


def test_the_table_has_a_row_for_each_batch() -> None:
    made = trials()
    made[-1] = Trial(1024, 0.1, 2, 150, None, "diverged")
    result = found(analyse(made))
    row = result["batches"][0]
    low, middle, high = (trial.steps for trial in made[:3] if trial.steps is not None)
    assert row == {
        "global_batch": 16,
        "learning_rate": 0.1,
        "edge": None,
        "reported_trials": 3,
        "selected_on_same_seeds": False,
        "steps": {"value": middle, "low": low, "high": high},
        "examples": {"value": 16 * middle, "low": 16 * low, "high": 16 * high},
        "naive_minimum": low,
        "counts": {"reached": 3, "missed": 0, "diverged": 0},
    }
    last = result["batches"][-1]
    assert last["steps"]["high"] is None
    assert last["examples"]["high"] is None
    assert last["counts"] == {"reached": 2, "missed": 0, "diverged": 1}
    (warning,) = result["warnings"]
    assert "batch 1,024: 1 of 3 reported trials diverged" in warning


def test_what_is_not_identified_is_told_as_a_bound_and_the_next_batch() -> None:
    result = found(analyse(trials((8, 12, 16), b_crit=5000)))
    assert not result["identified"]
    assert result["b_crit"]["high"] is None
    assert result["critical_batch"]["within_20_percent_of_linear"]["high"] is None
    assert result["recommended"]["knee"] is None
    for fact in ("do not determine", result["bound"], f"batch {result['next_batch']:,} next"):
        assert fact in result["sentence"]


def test_a_next_batch_that_was_tried_in_vain_needs_a_larger_budget() -> None:
    made = trials((8, 16, 24))
    following = analyse(made).fit.next_batch
    assert following is not None
    result = found(analyse([*made, *(Trial(following, 0.1, seed, 30, None, "missed") for seed in range(3))]))
    assert result["next_batch"] == following
    for fact in (f"batch {following} again", "larger budget"):
        assert fact in result["sentence"]


def test_the_sentence_tells_the_result(analysis: Analysis) -> None:
    sentence = found(analysis)["sentence"]
    for fact in (
        "the critical batch, 128 (95%: 123 to 133)",
        "twice the minimum of steps (199)",
        "examples (25,500)",
        "Up to about 25.5",
        "fastest is batch 1,024 (224 steps)",
        "cheapest batch 16 (28,700 examples)",
    ):
        assert fact in sentence


def test_the_noise_scale_is_averaged_by_progress() -> None:
    # w = 1/(1 + 100/100) = 1/2 over 30 steps, 1/(1 + 300/100) = 1/4 over 20: (15·100 + 5·300)/(15 + 5).
    assert weighted_average([30, 20], [100.0, 300.0], 100) == pytest.approx(150)


def test_the_noise_scale_is_averaged_up_to_the_target_and_over_trials() -> None:
    made = trials((*BATCHES, 128))
    steps = {(trial.global_batch, trial.seed): trial.steps_high for trial in made}
    last = steps[64, 0]
    assert last is not None
    windows = [
        # The second goes beyond the target; the third lies beyond it.
        *noise(64, 0, (101, 200, 64.0), (201, 5000, 192.0), (5001, 6000, 1e9)),
        *noise(64, 1, (1, 100, 64.0)),
        *noise(64, 2, (1, 100, 1.0), (101, 200, None)),  # unbounded, as one window is not yet known
        *noise(128, 0, (1, 100, 7.0)),
        *noise(128, 1, (1, 100, None)),
        *noise(512, 0, (1, 100, 7.0)),  # no such batch among the trials
        *noise(1024, 7, (1, 100, 7.0)),  # nor such a seed
    ]
    result = found(analyse(made), windows=windows)
    comparison = result["noise_scale"]
    assert [row["global_batch"] for row in comparison["batches"]] == [64, 128]
    row, unknown = comparison["batches"]
    # Of the second window last - 200 steps count. w = 1/2 and 1/4.
    weights = (100 / 2, (last - 200) / 4)
    average = (weights[0] * 64 + weights[1] * 192) / sum(weights)
    assert 64 < average < 1000
    assert row["b_simple"]["value"] == pytest.approx(average), "the median over three trials"
    low = weighted_average([100, last - 200], [32.0, 96.0], 64)
    high = weighted_average([100, last - 200], [128.0, 384.0], 64)
    assert low > 32
    assert (row["b_simple"]["low"], row["b_simple"]["high"]) == (32, pytest.approx(high)), "0, 32, low; 128, high, ∞"
    tenth = weighted_average([100, last - 200], [6.4, 19.2], 64)
    assert row["b_preconditioned"]["value"] == pytest.approx(tenth)
    assert row["trials"] == 3
    assert (unknown["b_simple"], unknown["b_preconditioned"]) == (None, None)
    headline = comparison["headline"]
    assert headline["global_batch"] == 64, "128 is nearer to B_crit, but nothing is known there"
    assert headline["b_simple_over_b_crit"] == pytest.approx(average / result["b_crit"]["value"])
    assert comparison["caveat"].startswith("Order of magnitude only")
    assert result["warnings"] == []


def test_a_noise_scale_that_says_nothing_is_warned_of(analysis: Analysis) -> None:
    result = found(analysis, windows=noise(512, 0, (1, 100, 7.0)))
    assert result["noise_scale"] is None
    (warning,) = result["warnings"]
    assert "none of the noise scale's windows" in warning
    result = found(analysis, windows=noise(64, 0, (1, 100, None)))
    assert result["noise_scale"]["headline"]["b_simple"] is None
    (warning,) = result["warnings"]
    for fact in ("noise scale is not yet known", "measure more steps"):
        assert fact in warning


def test_strong_scaling_keeps_the_global_batch_and_weak_scaling_that_of_a_replica(analysis: Analysis) -> None:
    rows = [speed(64, 1, 1000, spread=0.1), speed(128, 1, 1600), speed(128, 2, 1800, spread=0.1), speed(96, 2, 1500)]
    result = found(analysis, rows)
    alone, _, two, odd = result["throughput"]
    assert two["strong"]["speed_up"]["value"] == pytest.approx(1800 / 1600)
    assert two["strong"]["efficiency"]["value"] == pytest.approx(1800 / 1600 / 2)
    assert two["weak"]["speed_up"]["value"] == pytest.approx(1800 / 1000)
    assert two["weak"]["efficiency"]["value"] == pytest.approx(0.9)
    assert two["weak"]["speed_up"]["low"] == pytest.approx(1620 / 1100)
    assert two["weak"]["speed_up"]["high"] == pytest.approx(1980 / 900)
    assert (two["replica_batch"], two["label"]) == (64, None)
    assert two["images_per_second"] == {"value": 1800, "low": 1620, "high": pytest.approx(1980)}
    assert alone["strong"]["efficiency"] == alone["weak"]["speed_up"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert (odd["strong"], odd["weak"]) == (None, None), "one replica was not measured at 96, nor at 48"


def test_more_replicas_than_cores_show_correctness_and_no_efficiency(analysis: Analysis) -> None:
    rows = [speed(64, 1, 1000, cores=2), speed(64, 2, 1500, cores=2), speed(64, 4, 1e9, cores=2)]
    result = found(analysis, rows)
    _, two, four = result["throughput"]
    assert two["strong"]["efficiency"]["value"] == pytest.approx(0.75)
    assert two["label"] is None
    assert four["label"] == "correctness, not scaling"
    assert four["strong"] == {"speed_up": pytest.approx({"value": 1e6, "low": 1e6, "high": 1e6}), "efficiency": None}
    assert result["recommended"]["fastest"]["replicas"] == 2, "such a speed recommends nothing"
    (warning,) = result["warnings"]
    for fact in ("1 of 3 throughput measurements", "more replicas than cores"):
        assert fact in warning


def test_seconds_to_target_are_steps_times_the_time_of_a_step() -> None:
    made = trials()
    analysis = analyse([*made, *(Trial(4096, 0.1, seed, 9, None, "missed") for seed in range(3))])
    rows = [speed(64, 2, 1000, spread=0.1), speed(128, 1, 500), speed(4096, 1, 500)]
    measured, fitted = found(analysis, rows)["seconds_to_target"]
    ends = [trial for trial in made if trial.global_batch == 64]
    median = ends[1].steps
    assert median is not None
    assert (measured["global_batch"], measured["replicas"], measured["measured"]) == (64, 2, True)
    assert measured["value"] == pytest.approx(median * 64 / 1000)
    assert measured["low"] == pytest.approx(ends[0].steps_low * 64 / 1100)
    assert measured["high"] == pytest.approx((ends[2].steps_high or 0) * 64 / 900)
    # 128 was not tried: the fit tells; 4,096 was, in vain, so nobody knows.
    assert (fitted["global_batch"], fitted["measured"]) == (128, False)
    assert fitted["value"] == pytest.approx(analysis.fit.steps([128])[0] * 128 / 500)
    assert fitted["low"] < fitted["value"] < fitted["high"]


def test_without_speeds_the_fewest_steps_and_the_fewest_examples_are_recommended(analysis: Analysis) -> None:
    result = found(analysis)
    fastest, cheapest, knee = (result["recommended"][name] for name in ("fastest", "cheapest", "knee"))
    assert (fastest["global_batch"], fastest["unit"], fastest["replicas"], fastest["measured"]) == (
        *(1024, "steps", None),
        True,
    )
    assert fastest["to_target"]["value"] == result["batches"][-1]["steps"]["value"]
    assert (cheapest["global_batch"], cheapest["unit"]) == (16, "examples")
    assert cheapest["to_target"]["value"] == result["batches"][0]["examples"]["value"]
    assert knee["measured"] is True
    assert knee["global_batch"] in (64, 256)


def test_of_batches_inside_the_interval_the_smaller_is_recommended() -> None:
    """Beyond B_crit all batches take nearly the same steps."""
    made = trials((16, 64, 256, 1024))
    for batch, first in ((4096, 202), (8192, 201), (16384, 200), (32768, 199)):
        made += [Trial(batch, 0.1, seed, first + seed - 1, first + seed, "reached") for seed in range(3)]
    recommended = found(analyse(made))["recommended"]
    assert recommended["fastest"]["global_batch"] == 16384, "its median, 200.5, is inside (198, 201] and 201.5 is not"
    made[-1] = Trial(32768, 0.1, 2, 220, None, "missed")
    recommended = found(analyse(made))["recommended"]
    assert recommended["fastest"]["global_batch"] == 32768, "an interval without an end makes nothing equal"
    assert recommended["fastest"]["to_target"]["high"] is None

    # Two replicas are no faster than one here: that counts as equal, and one is enough.
    rows = [speed(16, 1, 1000, spread=0.05), speed(16, 2, 1010, spread=0.05), speed(64, 1, 1000)]
    assert (
        found(analyse(made), rows)["recommended"]["fastest"] == found(analyse(made), rows[:1])["recommended"]["fastest"]
    ), "and of 16 and 64 the smaller, though the larger takes more examples"


def test_with_speeds_time_and_replica_seconds_are_recommended(analysis: Analysis) -> None:
    rows = [
        *(speed(batch, 1, images) for batch, images in ((16, 500), (64, 2000), (256, 2500), (1024, 2600))),
        *(speed(batch, 2, images) for batch, images in ((64, 2000), (256, 4500), (1024, 5000))),
    ]
    recommended = found(analysis, rows)["recommended"]
    fastest, cheapest = recommended["fastest"], recommended["cheapest"]
    # 64: 600·64/2000 = 19.2 s; 256 on 2: 300·256/4500 = 17.1 s and 34.1 replica-seconds.
    assert (fastest["global_batch"], fastest["replicas"], fastest["unit"]) == (256, 2, "seconds")
    assert fastest["to_target"]["value"] == pytest.approx(300 * 256 / 4500, rel=0.01)
    assert (cheapest["global_batch"], cheapest["replicas"], cheapest["unit"]) == (64, 1, "replica-seconds")
    assert "fastest is batch 256 on 2 replicas (17" in found(analysis, rows)["sentence"]


def test_what_was_not_measured_is_marked(analysis: Analysis) -> None:
    rows = [speed(64, 1, 1000), speed(512, 1, 100000)]
    result = found(analysis, rows)
    assert (result["recommended"]["fastest"]["global_batch"], result["recommended"]["fastest"]["measured"]) == (
        512,
        False,
    )
    assert "seconds, not measured)" in result["sentence"]
    small = analyse(trials((4, 8, 16, 32, 64, 96), b_crit=128))
    assert small.fit.identified
    knee = costs.recommended(small, [])["knee"]
    assert knee == {"global_batch": round(small.fit.b_crit.value), "measured": False}


def test_nothing_is_recommended_where_every_median_missed() -> None:
    made = [
        trial if trial.seed == 0 else Trial(trial.global_batch, 0.1, trial.seed, trial.steps_low, None, "missed")
        for trial in trials()
    ]
    result = found(analyse(made))
    assert result["recommended"]["fastest"] is None
    assert result["recommended"]["cheapest"] is None
    assert np.isfinite(result["s_min"]["value"])
