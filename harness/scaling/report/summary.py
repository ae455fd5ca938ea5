"""An experiment's numbers in words: what the terminal shows, and what the page has of the same."""

import textwrap
from collections.abc import Sequence
from typing import Any

from harness.page.wording import number
from harness.scaling.report.estimates import cell, found_interval, found_with_interval

BATCH_COLUMNS = (
    "batch",
    "best rate",
    "seeds",
    "median steps",
    "range",
    "examples",
    "naive minimum",
    "reached",
    "missed",
    "diverged",
)
_LABEL, _WIDTH = 10, 110


def as_text(results: dict[str, Any]) -> str:
    """The table by batch, the fitted numbers with their 95 % intervals, what it all means, and the warnings.

    `results` are those of `harness.scaling.fit.results.results`, which scaling.json holds.
    """
    linear = results["critical_batch"]["within_20_percent_of_linear"]
    if results["identified"]:
        critical = (
            f"{found_with_interval(results['b_crit'])}, bootstrap {found_interval(results['bootstrap']['b_crit'])}, "
            f"nearly linear up to {number(linear['value'])}"
        )
    else:
        critical = f"not identified: {results['bound']}; next batch to run: {number(results['next_batch'])}"
    lines = [
        *_aligned([BATCH_COLUMNS, *batch_rows(results)]),
        "",
        *_labelled("S_min", f"{found_with_interval(results['s_min'])} steps"),
        *_labelled("E_min", f"{found_with_interval(results['e_min'])} examples"),
        *_labelled("B_crit", critical),
        "",
        *textwrap.wrap(results["sentence"], _WIDTH, break_on_hyphens=False),
    ]
    for warning in results["warnings"]:
        lines += _labelled("warning", warning)
    return "\n".join(lines)


def batch_rows(results: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row of text for each batch, in `BATCH_COLUMNS`."""
    return [
        (
            number(row["global_batch"]),
            cell(row["learning_rate"]) + (f" ({row['edge']}est tried)" if row["edge"] else ""),
            str(row["reported_trials"]) + (" (the same)" if row["selected_on_same_seeds"] else ""),
            cell(row["steps"]["value"]) or "not reached",
            _range(row["steps"]),
            cell(row["examples"]["value"]),
            cell(row["naive_minimum"]),
            *(str(row["counts"][status]) for status in ("reached", "missed", "diverged")),
        )
        for row in results["batches"]
    ]


def _range(steps: dict[str, Any]) -> str:
    return "" if steps["low"] is None else f"{number(steps['low'])} to {cell(steps['high']) or 'not reached'}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _labelled(label: str, text: str) -> list[str]:
    first, *others = textwrap.wrap(text, _WIDTH - _LABEL, break_on_hyphens=False, break_long_words=False)
    return [label.ljust(_LABEL) + first, *(" " * _LABEL + line for line in others)]
