import io
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from harness.page.picture import Picture
from harness.scaling.report.output import NAMES, pictures
from harness.scaling.report.plot import drawing, measured_axis
from harness.scaling.tables.measurements import Throughput
from harness.scaling.tables.trials import Trial

TARGET_NOT_REACHED = "not reached: more than its last step"
DIVERGED = "diverged, at its last step"


def rows(plot: Picture) -> list[tuple[str, ...]]:
    """Of its table of numbers."""
    assert plot.table
    return [tuple(map(str, row.cells)) for row in plot.table.rows]


def words(plot: Picture) -> str:
    """All text of a plot: its SVG names each text in a comment beside the shapes it is drawn with."""
    return "\n".join(re.findall(r"<!-- (.*?) -->", plot.svg.decode()))


def trials(*steps: int, rate: float = 0.1, seeds: int = 2) -> list[Trial]:
    """Of batches 1, 10, 100, …, each evaluated at the step before."""
    return [
        Trial(10**power, rate, seed, count - 1, count, "reached")
        for power, count in enumerate(steps)
        for seed in range(seeds)
    ]


@pytest.mark.slow
def test_an_experiment_has_eight_plots_and_a_table_of_trials_alone_those_that_need_no_more(whole: Any) -> None:
    assert tuple(whole.plots) == NAMES
    assert [plot.name for plot in pictures(whole.analysis, whole.trials, [], [], {"seconds_to_target": []})] == [
        "steps",
        "examples",
        "tradeoff",
        "best-rate",
        "trials",
    ]


@pytest.mark.slow
def test_the_same_data_give_the_same_bytes_without_a_date_or_a_version(whole: Any) -> None:
    again = pictures(whole.analysis, whole.trials, whole.throughput, whole.noise, whole.results)
    for plot, second in zip(whole.plots.values(), again, strict=True):
        assert plot == second, plot.name
        assert b"<dc:date>" not in plot.svg
        assert b"Matplotlib v" not in plot.svg
        assert b"tEXt" not in plot.png


@pytest.mark.slow
@pytest.mark.parametrize("which", ["whole", "unsettled"])
def test_nothing_is_cut_off_at_a_picture_s_edge(which: str, request: pytest.FixtureRequest) -> None:
    for plot in request.getfixturevalue(which).plots.values():
        pixels = imread(io.BytesIO(plot.png))[..., :3]
        assert pixels.shape[1] == 1036, plot.name
        for edge in (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:]):
            assert edge.min() == 1, plot.name


@pytest.mark.parametrize("count", [2, 9, 40])
def test_the_ticks_are_the_measured_batches_and_their_labels_do_not_touch(count: int) -> None:
    batches = np.unique(np.geomspace(16, 65536, count).round()).tolist()
    figure, (axes,) = drawing("title")
    measured_axis(axes, "x", batches, 10, 100_000)
    figure.canvas.draw()
    assert sorted([*axes.get_xticks(), *axes.get_xticks(minor=True)]) == batches
    labels = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert len(labels) >= min(count, 9)
    assert all(left.x1 < right.x0 for left, right in pairwise(labels))


@pytest.mark.slow
def test_steps_tell_the_median_its_range_the_fit_and_the_naive_minimum(make: Callable[..., Any]) -> None:
    own = [*trials(1001, 101, 11), Trial(1, 0.2, 0, 899, 900, "reached"), Trial(1, 0.2, 1, 1199, 1200, "reached")]
    plots = make(own).plots
    assert plots["steps"].table.headings[:5] == ("global batch", "learning rate", "median steps", "lowest", "highest")
    assert rows(plots["steps"])[0][:5] == ("1", "0.2", "1,200", "1,200", "1,200")
    assert rows(plots["steps"])[0][-1] == "899"
    assert rows(plots["examples"])[1][:5] == ("10", "0.1", "1,000", "1,000", "1,000")
    fit_steps = [float(row[5].replace(",", "")) for row in rows(plots["steps"])]
    fit_examples = [float(row[5].replace(",", "")) for row in rows(plots["examples"])]
    assert fit_examples == pytest.approx([steps * 10**power for power, steps in enumerate(fit_steps)], rel=0.01)
    for unit in ("steps", "examples"):
        assert f"{unit} to target" in words(plots[unit])
        assert "perfect scaling from batch 1" in words(plots[unit])
        assert "naive minimum over all trials (biased low)" in words(plots[unit])


@pytest.mark.slow
def test_missed_and_diverged_trials_are_drawn_each_in_its_own_way(make: Callable[..., Any]) -> None:
    reached = trials(1001, 101, 11, seeds=3)
    missed, diverged = Trial(100, 0.1, 3, 50, None, "missed"), Trial(100, 0.1, 4, 7, None, "diverged")
    for extra in (missed, diverged):
        plots = make([*reached, extra]).plots
        for unit in ("steps", "examples"):
            assert (TARGET_NOT_REACHED in words(plots[unit])) == (extra == missed)
            assert (DIVERGED in words(plots[unit])) == (extra == diverged)
        assert ("missed: target not reached within the budget" in words(plots["trials"])) == (extra == missed)
        assert ("diverged" in words(plots["trials"])) == (extra == diverged)
        counts = f"9 reached, {extra == missed:d} missed, {extra == diverged:d} diverged"
        assert plots["trials"].alt.endswith(f"{counts}.")


@pytest.mark.slow
def test_a_batch_that_never_reached_the_target_is_there_all_the_same(make: Callable[..., Any]) -> None:
    plots = make([*trials(1001, 101, 11), Trial(1000, 0.1, 0, 50, None, "missed")]).plots
    assert rows(plots["steps"])[3][:5] == ("1,000", "", "", "", "")
    assert [row[0] for row in rows(plots["tradeoff"])] == ["1", "10", "100"]
    assert rows(plots["best-rate"])[3][1] == ""


def test_where_b_crit_is_identified_the_plots_say_its_value_and_interval(whole: Any) -> None:
    plots = whole.plots
    critical = whole.analysis.fit.b_crit
    assert critical.low < 300 < critical.high
    told = f"{critical.value:.0f} ({critical.low:.0f} to {critical.high:.0f})"
    for name in ("steps", "examples", "tradeoff", "noise-scale"):
        assert told in words(plots[name]), name
        assert "not identified" not in words(plots[name]) + plots[name].caption


def test_where_it_is_not_they_say_that_and_the_bound(unsettled: Any) -> None:
    plots = unsettled.plots
    critical = unsettled.analysis.fit.b_crit
    assert not unsettled.analysis.fit.identified
    for name in ("steps", "examples"):
        assert "is not identified" in words(plots[name])
        assert f"{critical.low:.0f} to " in words(plots[name])
        assert unsettled.analysis.fit.bound in plots[name].caption
    assert "not identified" in words(plots["tradeoff"])


def test_the_tradeoff_labels_every_point_with_its_batch(whole: Any) -> None:
    plot = whole.plots["tradeoff"]
    assert {"16", "32", "64", "128", "256", "512", "1,024", "2,048", "4,096"} <= set(words(plot).split("\n"))


def test_a_best_rate_at_the_edge_of_the_grid_is_called_unbracketed(whole: Any) -> None:
    plot = whole.plots["best-rate"]
    assert rows(plot)[0][:3] == ("16", "0.00106", "at the low edge")
    assert rows(plot)[1][:3] == ("32", "0.0015", "")
    assert plot.alt.endswith("Unbracketed: 16.")
    assert "unbracketed" in words(plot)
    assert "square-root rule from batch 32" in words(plot), "the guides start at a bracketed rate"


@pytest.mark.slow
def test_seconds_are_steps_times_the_seconds_of_a_step(make: Callable[..., Any]) -> None:
    speeds = [Throughput(10, 1, 2, 500, 400, 800, "CPU"), Throughput(10, 4, 2, 500, 500, 500, "CPU")]
    plot = make(trials(1001, 101, 11), speeds).plots["seconds"]
    assert rows(plot)[0] == ("10", "1", "2.01", "1.25", "2.52", "measured", "")
    assert rows(plot)[1][-1] == "correctness, not scaling"
    assert "4 replicas (correctness, not scaling)" in words(plot)


def test_efficiency_is_written_and_withheld_where_replicas_outnumber_the_cores(unsettled: Any, whole: Any) -> None:
    plot = unsettled.plots["throughput"]
    by_place = {row[:2]: row for row in rows(plot)}
    assert by_place["64", "2"][7:] == ("1.47", "73%", "1.87", "93%", "")
    assert by_place["64", "4"][7:] == ("1.92", "", "3.48", "", "correctness, not scaling")
    assert "more replicas than cores: correctness, not scaling" in words(plot)
    assert "64: 73% on 2" in words(plot)
    settled = whole.plots["throughput"]
    assert "correctness" not in words(settled)
    assert "16: 58%" in words(settled)


@pytest.mark.slow
def test_speed_on_one_number_of_replicas_has_no_plot_against_replicas(make: Callable[..., Any]) -> None:
    plots = make(trials(1001, 101, 11), [Throughput(10, 1, 2, 500, 400, 800, "CPU")]).plots
    assert "seconds" in plots
    assert "throughput" not in plots


def test_windows_not_yet_known_are_gaps_in_the_noise_scale(whole: Any) -> None:
    plot = whole.plots["noise-scale"]
    unknown = [row for row in rows(plot) if row[4] == "not yet known"]
    assert len(unknown) == 2 * len({row[0] for row in unknown}), "two of each batch"
    assert all(row[7] != "not yet known" for row in rows(plot))
    assert "preconditioned (Adam)" in words(plot)


@pytest.mark.slow
def test_noise_scales_of_which_nothing_is_known_and_none_preconditioned(make: Callable[..., Any], whole: Any) -> None:
    nothing = [
        type(window)(
            *(window.global_batch, window.learning_rate, window.seed, window.first_step, window.last_step), *[None] * 6
        )
        for window in whole.noise
    ]
    plot = make(whole.trials, noise=nothing).plots["noise-scale"]
    assert "preconditioned" not in words(plot)
    assert plot.alt.endswith(f"{len(nothing)} windows, {len(nothing)} of them not yet known.")


@pytest.mark.slow
def test_where_the_middle_trial_of_no_batch_reached_the_target_there_are_plots_without_a_median(
    make: Callable[..., Any],
) -> None:
    one_of_three = [
        Trial(batch, 0.1, seed, 20 if seed else 19, None if seed else 20, "missed" if seed else "reached")
        for batch in (16, 64, 256)
        for seed in range(3)
    ]
    plots = make(one_of_three).plots
    assert "Medians: none." in plots["steps"].alt
    assert rows(plots["tradeoff"]) == []
