"""All plots of a scaling experiment, those that its tables allow."""

from collections.abc import Sequence
from typing import Any

from harness.scaling.fit.curve import Analysis
from harness.scaling.report.noise_plot import noise_plot
from harness.scaling.report.plot import Plot
from harness.scaling.report.rates_plots import best_rate_plot, trials_plot
from harness.scaling.report.speed_plots import seconds_plot, throughput_plot
from harness.scaling.report.steps_plots import examples_plot, steps_plot, tradeoff_plot
from harness.scaling.tables.measurements import NoiseWindow, Throughput
from harness.scaling.tables.trials import Trial

NAMES = ("steps", "examples", "tradeoff", "seconds", "noise-scale", "best-rate", "trials", "throughput")
"""Of all that there may be."""


def pictures(
    analysis: Analysis,
    trials: Sequence[Trial],
    throughput: Sequence[Throughput],
    noise: Sequence[NoiseWindow],
    results: dict[str, Any],
) -> list[Plot]:
    """Steps, examples, rates and trials always; seconds, noise scale and speed by replicas where they were measured."""
    plots = [steps_plot(analysis), examples_plot(analysis), tradeoff_plot(analysis)]
    if results["seconds_to_target"]:
        plots.append(seconds_plot(throughput, results))
    if noise:
        plots.append(noise_plot(analysis, noise, results))
    plots += [best_rate_plot(analysis, trials), trials_plot(analysis, trials)]
    if len({row.replicas for row in throughput}) > 1:
        plots.append(throughput_plot(results))
    return plots
