import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.runs.run_dir import RunDir
from harness.training.noise_scale import Smoothed, describe, known_windows, report, windows

BIG = 128


def measured(
    steps: int, trace: float = 900.0, pieces: int = 2, seed: int = 0, dimensions: int = 50
) -> list[dict[str, Any]]:
    """Rows of `steps` measured steps: normal gradients in some dimensions with |G|² = 1, tr Σ = `trace` and B = 128."""
    random = np.random.default_rng(seed)
    spread = np.sqrt(trace / dimensions * pieces / BIG)
    means = random.normal(0, spread, (steps, pieces, dimensions)) + np.sqrt(1 / dimensions)
    return [
        {
            "step": step,
            "split": "noise_scale",
            "small_batch": BIG / pieces,
            "big_batch": BIG,
            "small_sq": float(np.sum(of_step**2, axis=1).mean()),
            "big_sq": float(np.sum(of_step.mean(axis=0) ** 2)),
        }
        for step, of_step in enumerate(means, 1)
    ]


def estimates_of_each(rows: list[dict[str, Any]]) -> NDArray[np.float64]:
    """[|G|², tr Σ] of each row, from windows of one."""
    return np.array([[window.grad_sq, window.trace] for window in windows(rows, len(rows))])


def preconditioned(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`rows` with the norms of `others` as the preconditioned ones."""
    return [
        row | {f"{key}_preconditioned": other[key] for key in ("small_sq", "big_sq")}
        for row, other in zip(rows, others, strict=True)
    ]


def test_two_norms_give_the_gradient_and_the_trace() -> None:
    row = {"step": 7, "split": "noise_scale", "small_batch": 5.0, "big_batch": 20}
    (window,) = windows([row | {"small_sq": 3 + 40 / 5, "big_sq": 3 + 40 / 20}], 1)
    assert (window.first_step, window.last_step, window.measured) == (7, 7, 1)
    np.testing.assert_allclose([window.grad_sq, window.trace], [3, 40])
    assert window.b_simple is window.low is window.high is None


@pytest.mark.parametrize("pieces", [2, 16, 128])
def test_a_ratio_of_averages_finds_what_an_average_of_ratios_does_not(pieces: int) -> None:
    rows = measured(3000, pieces=pieces)
    (window,) = windows(rows, 1)
    assert window.b_simple == pytest.approx(900, rel=0.15)
    grad_sq, trace = estimates_of_each(rows).T
    ratios = trace / grad_sq
    means = ratios.reshape(10, 300).mean(axis=1)  # a mean of such ratios does not settle with more steps
    assert np.sum(np.abs(means - 900) < 135) <= 3
    assert np.median(ratios) < 500
    assert np.mean(grad_sq < 0) > 0.1  # which is why


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    held = 0
    for seed in range(100):
        (window,) = windows(measured(300, trace=100.0, pieces=4, seed=seed), 1, seed)
        assert window.low is not None
        assert window.high is not None
        held += window.low <= 100 <= window.high
    assert 85 <= held <= 100


def test_neighbours_that_are_alike_make_an_interval_wider() -> None:
    rows = measured(400, trace=100.0)
    alike = [rows[number // 10] | {"step": number} for number in range(4000)]  # no more is known from these
    narrow, wide = windows(measured(4000, trace=100.0), 1)[0], windows(alike, 1)[0]
    assert None not in (narrow.low, narrow.high, wide.low, wide.high)
    assert (wide.high - wide.low) / (narrow.high - narrow.low) > 2  # type: ignore[operator]


def test_the_same_rows_and_seed_give_the_same_interval() -> None:
    rows = measured(100, trace=100.0)
    assert windows(rows, 2, seed=3) == windows(rows, 2, seed=3)
    assert windows(rows, 2, seed=3) != windows(rows, 2, seed=4)


def test_a_gradient_lost_in_noise_is_not_yet_known() -> None:
    (window,) = windows(measured(30, trace=50_000.0), 1)
    assert window.b_simple is window.low is window.high is None
    assert window.trace == pytest.approx(50_000, rel=0.1)


@pytest.mark.parametrize("steps", [7, 8])
def test_fewer_than_eight_steps_are_too_few(steps: int) -> None:
    (window,) = windows(measured(steps, trace=1.0), 1)
    assert (window.b_simple is None) == (steps < 8)


def test_windows_share_the_measured_steps_evenly_and_in_order() -> None:
    rows = measured(10)
    for row in rows:
        row["step"] = row["step"] * 5 + 1
    among_others = [other for row in rows for other in (row, {"step": row["step"], "split": "train", "loss": 1.0})]
    found = windows(among_others, 4)
    assert [(window.first_step, window.last_step, window.measured) for window in found] == [
        (6, 11, 2),
        (16, 26, 3),
        (31, 36, 2),
        (41, 51, 3),
    ]
    means = estimates_of_each(rows)[2:5].mean(axis=0)
    np.testing.assert_allclose([found[1].grad_sq, found[1].trace], means)
    assert len(windows(rows[:3], 4)) == 3
    assert windows([], 4) == []


def test_windows_are_joined_until_each_is_known() -> None:
    clear, noisy = measured(60, trace=1.0), measured(60, trace=2000.0, seed=2)
    rows = [row | {"step": step} for step, row in enumerate(clear + noisy, 1)]
    assert [window.b_simple is not None for window in windows(rows, 8)] == [True] * 4 + [False] * 4
    found = known_windows(rows, 8)
    assert [(window.first_step, window.last_step) for window in found] == [
        (1, 15),
        (16, 30),
        (31, 45),
        (46, 60),
        (61, 120),
    ]
    assert all(window.b_simple for window in found)
    assert found[-1] == windows(rows[60:], 1)[0]

    late = known_windows([row | {"step": step} for step, row in enumerate(reversed(rows), 1)], 8)
    assert [(window.first_step, window.last_step) for window in late] == [(1, 45), (46, 90), (91, 105), (106, 120)]
    assert [window.measured for window in known_windows(rows[:23], 8)] == [11, 12], "at least 8 in each"
    short = [row | {"step": step} for step, row in enumerate(clear + noisy[:15], 1)]
    assert windows(short[45:], 1)[0].b_simple is None
    found = known_windows(short, 5)  # whose last one has no next
    assert [(window.first_step, window.last_step) for window in found] == [(1, 15), (16, 30), (31, 75)]
    (nothing,) = known_windows(measured(60, trace=50_000.0), 8)
    assert (nothing.measured, nothing.b_simple) == (60, None)
    assert known_windows([], 8) == []


def test_preconditioned_norms_have_estimates_of_their_own() -> None:
    rows, others = measured(500, trace=100.0), measured(500, trace=10.0, seed=1)
    (both,), (first,), (second,) = (windows(each, 1) for each in (preconditioned(rows, others), rows, others))
    assert (both.grad_sq, both.trace, both.b_simple, both.low, both.high) == (
        *(first.grad_sq, first.trace, first.b_simple),
        *(first.low, first.high),
    )
    assert (both.grad_sq_preconditioned, both.trace_preconditioned) == (second.grad_sq, second.trace)
    assert both.b_preconditioned == second.b_simple == pytest.approx(10, rel=0.2)
    assert (both.preconditioned_low, both.preconditioned_high) == (second.low, second.high)
    assert first.b_preconditioned is first.preconditioned_low is first.trace_preconditioned is None


def test_the_report_is_of_quarters_and_can_be_written_as_json() -> None:
    rows = measured(100, trace=100.0)
    quarters = report(rows)
    assert quarters is not None
    assert [(quarter["first_step"], quarter["last_step"]) for quarter in quarters] == [
        (1, 25),
        (26, 50),
        (51, 75),
        (76, 100),
    ]
    assert json.loads(json.dumps(quarters, allow_nan=False)) == quarters
    assert report([{"step": 1, "split": "train"}]) is None


def test_what_is_told_is_the_last_quarter() -> None:
    rows = measured(100, trace=1e5) + [row | {"step": row["step"] + 4000} for row in measured(40, trace=100.0)]
    told = describe(report(rows[:80] + rows[-30:]))
    assert told.startswith("B_simple ")
    assert "(95%: " in told
    assert told.endswith(" over steps 4,013 to 4,040")
    both = describe(report(preconditioned(rows[-40:], measured(40, trace=20.0))))
    assert "; preconditioned " in both
    assert both.count(" to ") == 3
    lost = describe(report(preconditioned(rows[-40:], measured(40, trace=1e5))))
    assert lost.endswith("; preconditioned not yet known")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], ["no step was measured"]),
        (measured(20), ["5 measured over steps 16 to 20", "takes 8"]),
        (measured(40, trace=1e6), ["|G|² covers 0", "steps 31 to 40"]),
    ],
)
def test_what_is_not_known_is_said(rows: list[dict[str, Any]], told: list[str]) -> None:
    for fact in ("not yet known", *told):
        assert fact in describe(report(rows))


def test_the_moving_average_has_no_bias_at_its_start() -> None:
    rows = measured(60, trace=100.0)
    smoothed, each = Smoothed(), estimates_of_each(rows)
    for count, row in enumerate(rows, 1):
        shown = smoothed.add(row)
        weights = 0.98 ** np.arange(count - 1, -1, -1)
        expected = np.average(each[:count], axis=0, weights=weights)
        np.testing.assert_allclose([shown["grad_sq"], shown["trace"]], expected, rtol=1e-9)
        if min(expected) > 0:
            assert shown["b_simple"] == pytest.approx(expected[1] / expected[0])
        else:
            assert "b_simple" not in shown


@pytest.mark.slow
def test_a_run_measures_shows_and_reports_it(call: Callable[..., Any], small_config: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    settings = ["train.noise_scale=2 steps", "train.length=80 steps", "tensorboard.images=0"]
    settings += ["insight={methods: [], filters: false}"]
    ended = call("train", small_config, "--run-dir", path, *(word for value in settings for word in ("--set", value)))
    assert ended.exit_code == 0, ended.stderr
    run = RunDir.open(path)
    rows = [row for row in run.read_metrics() if row["split"] == "noise_scale"]
    assert [row["step"] for row in rows] == list(range(3, 81, 2))
    keys = {"step", "split", "small_batch", "big_batch", "small_sq", "big_sq"}
    assert all(row.keys() == keys | {"small_sq_preconditioned", "big_sq_preconditioned"} for row in rows)
    assert {(row["small_batch"], row["big_batch"]) for row in rows} == {(16.0, 32)}
    quarters = run.read_summary()["noise_scale"]
    assert quarters == report(rows)
    line = f"noise     {describe(quarters)}\n"
    assert line in ended.stdout
    assert line in run.log_file.read_text()
    assert "gradient noise scale" in run.report_file.read_text()
    steps = [row["step"] for row in run.read_metrics()]
    assert steps == sorted(steps)
