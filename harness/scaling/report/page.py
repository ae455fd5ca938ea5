"""A scaling experiment's page: its numbers, plots and tables in one self-contained HTML file."""

from collections.abc import Sequence
from typing import Any

from harness.page import FoldedConfig, Headline, Page, Picture, Row, Section, Table, render
from harness.page.wording import counted, number
from harness.scaling.report.estimates import found_interval, found_with_interval
from harness.scaling.report.speed_plots import SPEED_COLUMNS, speed_row
from harness.scaling.report.summary import BATCH_COLUMNS, batch_rows

_SPEED = (
    "Images/s is the global batch divided by the step time, for all replicas together: the median of repeated windows "
    "after warm-up, with the slowest and the fastest; compilation, evaluation and checkpoints are excluded. Speed-up "
    "is relative to one replica: strong scaling keeps the global batch, weak scaling keeps the batch per replica. "
    "Efficiency is speed-up divided by replicas. With more replicas than cores, a measurement shows that the result is "
    "right, not how fast it could be, so no efficiency is given."
)
_BATCHES = (
    "The learning rate is chosen on some seeds and its steps are reported on others, because the minimum over similar "
    "rates is biased low; that naive minimum is shown for comparison. Missed trials ended below the target, and "
    "in diverged trials the loss rose to that of guessing or beyond; both are part of the fit. If the best rate is the "
    "lowest or the highest tried, a better one may lie beyond it."
)


def page(
    name: str, results: dict[str, Any], plots: Sequence[Picture], config: str | None = None, failed: Sequence[str] = ()
) -> str:
    """The page's HTML; the same arguments give the same text.

    Args:
        name: of the experiment.
        results: what scaling.json holds.
        plots: in the order of the page.
        config: the experiment's YAML.
        failed: a line for each trial that came to no result.
    """
    target = f": batch-size scaling to the target {results['target']}" if results["target"] else ""
    folded = (
        [Section("Config", parts=[FoldedConfig(config, "harness scale run", "repeats the experiment")])]
        if config
        else []
    )
    return render(
        Page(
            title=f"{name}: batch-size scaling",
            subtitle=f"How large a batch is still worth it{target}",
            sentence=results["sentence"],
            headlines=headlines(results),
            warnings=results["warnings"],
            sections=[Section("Plots", pictures=plots), *_sections(results, failed), *folded],
        )
    )


def headlines(results: dict[str, Any]) -> list[Headline]:
    """The numbers one looks for first."""
    critical, linear = results["b_crit"], results["critical_batch"]["within_20_percent_of_linear"]
    if results["identified"]:
        shown = [
            (
                "critical batch, B_crit",
                number(critical["value"]),
                f"95%: {found_interval(critical)}; bootstrap: {found_interval(results['bootstrap']['b_crit'])}",
            ),
            ("nearly linear up to 0.2·B_crit", number(linear["value"]), f"95%: {found_interval(linear)}"),
        ]
    else:
        shown = [
            ("critical batch, B_crit", found_interval(critical), "not identified"),
            ("next batch to run", number(results["next_batch"]), "to identify B_crit"),
        ]
    if results["identified"]:
        shown += [
            ("fewest steps, S_min", number(results["s_min"]["value"]), f"95%: {found_interval(results['s_min'])}"),
            ("fewest examples, E_min", number(results["e_min"]["value"]), f"95%: {found_interval(results['e_min'])}"),
        ]
    for what, choice in results["recommended"].items():
        if choice is not None:
            shown.append((f"{what} batch", number(choice["global_batch"]), _detail(what, choice)))
    return [Headline(*each) for each in shown]


def _detail(what: str, choice: dict[str, Any]) -> str:
    parts = ["measured, closest to B_crit"] if what == "knee" and choice["measured"] else []
    if what != "knee":
        parts.append(f"{number(choice['to_target']['value'])} {choice['unit']}")
        if choice["replicas"] is not None:
            parts.append(counted(choice["replicas"], "replica"))
    if not choice["measured"]:
        parts.append("not measured")
    return ", ".join(parts)


def _sections(results: dict[str, Any], failed: Sequence[str]) -> list[Section]:
    sections = [_tabled("Batches", [_BATCHES], BATCH_COLUMNS, batch_rows(results))]
    if results["noise_scale"] is not None:
        sections.append(_noise(results))
    if results["throughput"]:
        rows = [speed_row(row) for row in results["throughput"]]
        devices = ", ".join(dict.fromkeys(row["device"] for row in results["throughput"]))
        sections.append(_tabled("Throughput", [_SPEED, f"Measured on: {devices}."], SPEED_COLUMNS, rows))
    if failed:
        intro = "These trials ended without a result, not even a missed target, and are not part of the fit."
        rows = [line.partition(": ")[::2] for line in failed]
        sections.append(_tabled("Failed trials", [intro], ["trial", "reason"], rows))
    sections.append(_fit(results))
    return sections


def _noise(results: dict[str, Any]) -> Section:
    comparison = results["noise_scale"]
    headline = comparison["headline"]
    paragraphs = [
        "The noise scale predicts the critical batch from gradients alone. The value to compare with B_crit is its "
        "average up to the target, Σ wₜ·Bₜ/Σ wₜ with wₜ = 1/(1 + Bₜ/B). " + comparison["caveat"],
    ]
    if headline["b_simple_over_b_crit"] is not None:
        paragraphs.append(
            f"At batch {number(headline['global_batch'])}, the closest to B_crit, B_simple is "
            f"{found_with_interval(headline['b_simple'])} and B_crit is {found_with_interval(results['b_crit'])}: "
            f"a ratio of {number(headline['b_simple_over_b_crit'])}."
        )
    paragraphs.append(f"Intervals: {comparison['interval']}.")
    rows = [
        [
            number(row["global_batch"]),
            str(row["trials"]),
            found_with_interval(row["b_simple"]),
            found_with_interval(row["b_preconditioned"]),
        ]
        for row in comparison["batches"]
    ]
    return _tabled("Noise scale", paragraphs, ["global batch", "trials", "B_simple", "preconditioned"], rows)


def _fit(results: dict[str, Any]) -> Section:
    names = {"s_min": "S_min, steps", "e_min": "E_min, examples", "b_crit": "B_crit, examples"}
    rows = [
        [what, found_with_interval(results[name]), found_with_interval(results["bootstrap"][name])]
        if results["identified"]
        else [what, found_interval(results[name]), "B_crit is not identified"]
        for name, what in names.items()
    ]
    rows.append(["B_crit without the largest batch", found_with_interval(results["without_largest"]), ""])
    method = (
        "S = S_min·(1 + B_crit/B) (McCandlish et al. 2018, arXiv 1812.06162) is fitted to the steps to target by "
        "censored maximum likelihood: a trial that reached the target did so between two evaluations; one that didn't "
        f"would have taken longer. The standard deviation of log steps is {number(results['sigma'])}. With w = "
        f"B_crit/(B + B_crit), Σ(w - mean w)² is {number(results['spread'])}; B_crit counts as identified from 0.1."
    )
    return _tabled("Fit", [method], ["", "value (95% profile interval)", "bootstrap: median (95%)"], rows)


def _tabled(title: str, paragraphs: Sequence[str], headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Section:
    """A section with one table, which has its title."""
    return Section(title, paragraphs, [Table(title, headings, [Row(cells) for cells in rows])])
