"""From an experiment's tables to its numbers, its plots and its page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import DataError, RunError
from harness.page import Picture
from harness.page.wording import counted
from harness.runs.paths import write_atomically
from harness.scaling.fit.curve import Analysis, analyse
from harness.scaling.fit.results import results
from harness.scaling.report.noise_plot import noise_plot
from harness.scaling.report.page import page
from harness.scaling.report.rates_plots import best_rate_plot, trials_plot
from harness.scaling.report.speed_plots import seconds_plot, throughput_plot
from harness.scaling.report.steps_plots import examples_plot, steps_plot, tradeoff_plot
from harness.scaling.tables import measurements, trials
from harness.scaling.tables.measurements import NoiseWindow, Throughput
from harness.scaling.tables.trials import Trial

NAMES = ("steps", "examples", "tradeoff", "seconds", "noise-scale", "best-rate", "trials", "throughput")
"""Of all plots that there may be."""


def write(
    trials_file: str | Path,
    folder: str | Path,
    select_seeds: int = 1,
    target: str | None = None,
    config_text: str | None = None,
    failed: Sequence[str] = (),
) -> dict[str, Any]:
    """Write `scaling.json`, `figures/*.png`, `figures/*.svg` and `report.html` into a folder, once all are made.

    They depend on the arguments and the tables alone, and replace what an earlier call has written; where nothing can
    be fitted any more, an earlier call's files go all the same.

    Args:
        trials_file: the table of trials. Beside it `throughput.csv` and `noise_scale.csv` are read, where they exist.
        folder: is made where it does not exist.
        select_seeds: how many seeds of each batch its learning rate is selected on.
        target: what was to be reached, in words.
        config_text: the experiment's YAML.
        failed: a line for each trial that came to no result.

    Returns what scaling.json holds.

    Raises:
        DataError: a table can't be read, holds anything wrong, or too little for a fit.
        RunError: the folder is a file.
    """
    trials_file, folder = Path(trials_file), Path(folder)
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is not a directory: give another folder for the report")
    done = trials.read(trials_file)
    throughput_file, noise_file = (trials_file.with_name(name) for name in ("throughput.csv", "noise_scale.csv"))
    throughput = measurements.read_throughput(throughput_file) if throughput_file.exists() else []
    noise = measurements.read_noise(noise_file) if noise_file.exists() else []
    try:
        analysis = analyse(done, select_seeds)
    except DataError:
        _remove(folder)
        raise
    found = results(analysis, throughput, noise, target)
    if failed:
        found["warnings"].append(f"{counted(len(failed), 'trial')} ended without a result, such as {failed[0]}")
    plots = pictures(analysis, done, throughput, noise, found)
    name = trials_file.resolve().parent.name if trials_file.name == "trials.csv" else trials_file.stem
    html = page(name, found, plots, config_text, failed)

    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for plot in plots:
        write_atomically(figures / f"{plot.name}.png", plot.png)
        write_atomically(figures / f"{plot.name}.svg", plot.svg)
    _remove_figures(folder, set(NAMES) - {plot.name for plot in plots})  # of an earlier call with more tables
    write_atomically(folder / "scaling.json", (json.dumps(found, indent=2) + "\n").encode())
    write_atomically(folder / "report.html", html.encode())
    return found


def pictures(
    analysis: Analysis,
    done: Sequence[Trial],
    throughput: Sequence[Throughput],
    noise: Sequence[NoiseWindow],
    results: dict[str, Any],
) -> list[Picture]:
    """Steps, examples, rates and trials always; seconds, noise scale and speed by replicas where they were measured."""
    plots = [steps_plot(analysis), examples_plot(analysis), tradeoff_plot(analysis)]
    if results["seconds_to_target"]:
        plots.append(seconds_plot(throughput, results))
    if noise:
        plots.append(noise_plot(analysis, noise, results))
    plots += [best_rate_plot(analysis, done), trials_plot(analysis, done)]
    if len({row.replicas for row in throughput}) > 1:
        plots.append(throughput_plot(results))
    return plots


def _remove(folder: Path) -> None:
    if not (folder / "scaling.json").exists():
        return
    _remove_figures(folder, set(NAMES))
    for name in ("scaling.json", "report.html"):
        (folder / name).unlink(missing_ok=True)


def _remove_figures(folder: Path, names: set[str]) -> None:
    for name in names:
        (folder / "figures" / f"{name}.png").unlink(missing_ok=True)
        (folder / "figures" / f"{name}.svg").unlink(missing_ok=True)
