"""Everything that scaling.json holds, from the analysis and the two tables of measurements."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.scaling.fit import costs, noise_comparison
from harness.scaling.fit.curve import Analysis, Estimate, rounded
from harness.scaling.fit.selection import BatchResult
from harness.scaling.tables.measurements import NoiseWindow, Throughput

_NEARLY_LINEAR = 0.2
"""S(B)·B = E_min·(1 + B/B_crit) exceeds E_min, which linear scaling would keep, by 20 % at B = 0.2·B_crit."""


def results(
    analysis: Analysis, throughput: Sequence[Throughput], noise: Sequence[NoiseWindow], target: str | None
) -> dict[str, Any]:
    """A dict that `json.dumps` takes. A value with its interval is {"value", "low", "high"}; infinity is None.

    Args:
        throughput: may be empty: then nothing is given in seconds.
        noise: may be empty: then there is no noise scale to compare with.
        target: what was to be reached, in words, where that is known.

    Returns:
        target,
        s_min, e_min, b_crit (with profile intervals), bootstrap (the same three), bootstrap_redrawn, sigma, spread,
        identified, bound, next_batch, without_largest: see `harness.scaling.fit.curve.Fit`.
        critical_batch: {"e_min_over_s_min", "within_20_percent_of_linear"}, the two definitions.
        noise_scale: see `harness.scaling.fit.noise_comparison.compare`.
        batches: a row for each, see `harness.scaling.fit.selection.BatchResult`.
        throughput: a row for each measurement, see `harness.scaling.fit.costs.speed`.
        seconds_to_target: rows of global_batch, replicas, measured, value, low, high.
        recommended: {"fastest", "cheapest", "knee"}, see `harness.scaling.fit.costs.recommended`.
        sentence: the result in plain words.
        warnings: what weakens it, one line each.
    """
    fit = analysis.fit
    comparison = noise_comparison.compare(analysis, noise)
    recommended = costs.recommended(analysis, throughput)
    linear = Estimate(*(_NEARLY_LINEAR * value for value in (fit.b_crit.value, fit.b_crit.low, fit.b_crit.high)))
    found = {
        "target": target,
        "s_min": fit.s_min,
        "e_min": fit.e_min,
        "b_crit": fit.b_crit,
        "bootstrap": fit.bootstrap,
        "bootstrap_redrawn": fit.redrawn,
        "sigma": fit.sigma,
        "identified": fit.identified,
        "spread": fit.spread,
        "bound": fit.bound,
        "next_batch": fit.next_batch,
        "without_largest": fit.without_largest,
        "critical_batch": {"e_min_over_s_min": fit.b_crit, "within_20_percent_of_linear": linear},
        "noise_scale": comparison,
        "batches": [_batch_row(batch) for batch in analysis.batches],
        "throughput": [costs.speed(row, throughput) for row in throughput],
        "seconds_to_target": [asdict(cost) for cost in costs.seconds(analysis, throughput)],
        "recommended": recommended,
        "sentence": _sentence(analysis, recommended),
        "warnings": [*analysis.warnings, *_measurement_warnings(throughput, noise, comparison)],
    }
    return {name: _plain(value) for name, value in found.items()}


def _batch_row(batch: BatchResult) -> dict[str, Any]:
    size = batch.global_batch
    steps = {"value": batch.median, "low": batch.low, "high": batch.high}
    return {
        "global_batch": size,
        "learning_rate": batch.learning_rate,
        "edge": batch.edge,
        "reported_trials": len(batch.reported),
        "selected_on_same_seeds": batch.selected_on_same_seeds,
        "steps": steps,
        "examples": {name: None if value is None else value * size for name, value in steps.items()},
        "naive_minimum": batch.naive_minimum,
        "counts": batch.counts,
    }


def _measurement_warnings(
    throughput: Sequence[Throughput], noise: Sequence[NoiseWindow], comparison: dict[str, Any] | None
) -> list[str]:
    lines = []
    crowded = sum(row.replicas > row.cores for row in throughput)
    if crowded:
        lines.append(
            f"{crowded} of {len(throughput)} throughput measurements have more replicas than cores: they show "
            f"{costs.CORRECTNESS}"
        )
    if noise and comparison is None:
        lines.append("none of the noise scale's windows belongs to a reported trial that reached the target")
    elif comparison is not None and comparison["headline"]["b_simple"] is None:
        lines.append("the noise scale is not yet known at any batch: measure more steps")
    return lines


def _sentence(analysis: Analysis, recommended: dict[str, Any]) -> str:
    fit = analysis.fit
    if not fit.identified:
        tried = {batch.global_batch for batch in analysis.batches}
        how = "again, with a larger budget" if fit.next_batch in tried else "next"
        return f"These trials do not determine the critical batch: {fit.bound}. Run batch {fit.next_batch:,} {how}."
    text = (
        f"At the critical batch, {rounded(fit.b_crit.value)} (95%: {rounded(fit.b_crit.low)} to "
        f"{rounded(fit.b_crit.high)}), reaching the target takes twice the minimum of steps "
        f"({rounded(fit.s_min.value)}) and of examples ({rounded(fit.e_min.value)}). Up to about "
        f"{rounded(_NEARLY_LINEAR * fit.b_crit.value)}, a larger batch saves steps almost in proportion; far above the "
        "critical batch, it saves almost none."
    )
    fastest, cheapest = recommended["fastest"], recommended["cheapest"]
    if fastest is None:
        return text
    return text + f" The fastest is {_in_words(fastest)}, the cheapest {_in_words(cheapest)}."


def _in_words(choice: dict[str, Any]) -> str:
    replicas = choice["replicas"]
    on = "" if replicas is None else f" on {replicas} replica{'s' if replicas > 1 else ''}"
    unmeasured = "" if choice["measured"] else ", not measured"
    return f"batch {choice['global_batch']:,}{on} ({rounded(choice['to_target'].value)} {choice['unit']}{unmeasured})"


def _plain(value: Any) -> Any:
    """Dicts, lists, numbers, texts and None only; what is not finite becomes None."""
    if isinstance(value, Estimate):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
