"""From measured gradient norms to the gradient noise scale: estimates, their moving average and their intervals.

Gradients over b examples and over B > b, the true gradient being G and the covariance of single examples' gradients Σ,
have squared norms with expectations |G|² + tr Σ/b and |G|² + tr Σ/B (gradient_norms.py measures them). So

    |G|² ≈ (B·|g_B|² - b·|g_b|²) / (B - b),          tr Σ ≈ (|g_b|² - |g_B|²) / (1/b - 1/B)

without bias, and B_simple = tr Σ/|G|² (McCandlish et al. 2018, arXiv 1812.06162, appendix A.1). It is the ratio of
averages over steps, never an average of ratios: one step's |G|² is noise around a small number, below zero as often as
not, so the ratios' mean may be anything and their median is far off too (the tests show it at a true 900 and B = 128).

Batches of one epoch share no example, as independent ones would: this lowers the estimate of |G|² by tr Σ/(N - 1) for N
training rows, so B_simple is good where it is far below N.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SPLIT = "noise_scale"
"""What rows of metrics.jsonl with norms have for `split`."""
QUARTERS = 4
_PRECONDITIONED = "_preconditioned"
_DECAY = 0.98
_FEWEST = 8
_RESAMPLES = 1000
_LEVEL = (0.025, 0.975)


@dataclass(frozen=True)
class Window:
    """The noise scale over some consecutive measured steps; None is "not yet known", or not measured (SGD)."""

    first_step: int
    last_step: int
    measured: int
    """How many steps in it were measured."""
    grad_sq: float
    """|G|², on average over the steps."""
    trace: float
    """tr Σ, likewise."""
    b_simple: float | None
    low: float | None
    high: float | None
    """B_simple in examples, and its 95 % interval."""
    grad_sq_preconditioned: float | None
    trace_preconditioned: float | None
    b_preconditioned: float | None
    preconditioned_low: float | None
    preconditioned_high: float | None
    """The same five of the gradient as Adam scales it."""


class Smoothed:
    """Exponential moving averages of |G|² and tr Σ, each on its own, without the bias of their start at 0."""

    def __init__(self) -> None:
        self._weight = 0.0
        self._averages: dict[str, NDArray[np.float64]] = {}

    def add(self, row: Mapping[str, Any]) -> dict[str, float]:
        """Take a measured step; gives the averages `grad_sq`, `trace` and, where both are above 0, `b_simple` and
        `b_preconditioned`."""
        self._weight = _DECAY * self._weight + 1 - _DECAY
        for kind in _kinds(row):
            before = self._averages.get(kind, np.zeros(2))
            self._averages[kind] = _DECAY * before + (1 - _DECAY) * _estimates([row], kind)[0]
        now = {kind: (average / self._weight).tolist() for kind, average in self._averages.items()}
        ratios = {
            f"b{kind or '_simple'}": trace / grad_sq
            for kind, (grad_sq, trace) in now.items()
            if min(grad_sq, trace) > 0
        }
        return {"grad_sq": now[""][0], "trace": now[""][1], **ratios}


def windows(rows: Iterable[Mapping[str, Any]], count: int, seed: int = 0) -> list[Window]:
    """The noise scale in `count` consecutive windows with equally many measured steps.

    Args:
        rows: of metrics.jsonl, those of other splits too.
        count: how many windows; fewer come back where fewer steps were measured.
        seed: of the bootstrap.

    The intervals are for 95 %, from the moving-block bootstrap over steps (Künsch 1989, Annals of Statistics 17, 1217)
    with blocks of n^(1/3) measured steps, as neighbours are alike. A ratio is None where fewer than 8 steps were
    measured, or the interval of |G|² does not lie above 0.
    """
    measured = _measured(rows)
    cuts = [len(measured) * number // count for number in range(count + 1)]
    return [_window(measured[start:end], seed) for start, end in pairwise(cuts) if end > start]


def known_windows(rows: Iterable[Mapping[str, Any]], most: int, seed: int = 0) -> list[Window]:
    """As `windows`, but each wide enough for a B_simple: one that is not yet known is joined with the next, the last
    one with the one before. Only where all steps together say too little a single window comes back that is not known.

    Left out instead, the unknown ones would take the largest noise scales with them.
    """
    measured = _measured(rows)
    count = max(1, min(most, len(measured) // _FEWEST))
    found: list[Window] = []
    starts = [0]
    for number in range(1, count + 1):
        end = len(measured) * number // count
        if end and (window := _window(measured[starts[-1] : end], seed)).b_simple is not None:
            found.append(window)
            starts.append(end)
    while starts[-1] < len(measured):
        if found:
            found.pop()
            starts.pop()
        window = _window(measured[starts[-1] :], seed)
        if window.b_simple is not None or not found:
            return [*found, window]
    return found


def report(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """What summary.json says: a window for each quarter of training, of which the last is the one printed; None without
    a measured step."""
    return [asdict(window) for window in windows(rows, QUARTERS)] or None


def describe(quarters: Sequence[Mapping[str, Any]] | None) -> str:
    """The last of what `report` gave, in a line."""
    if not quarters:
        return "not yet known: no step was measured"
    last = quarters[-1]
    steps = f"over steps {last['first_step']:,} to {last['last_step']:,}"
    if last["measured"] < _FEWEST:
        return f"not yet known: {last['measured']} measured {steps}, and it takes {_FEWEST}"
    interval = _with_interval(last["b_simple"], last["low"], last["high"], "95%: ")
    text = f"B_simple {interval} {steps}" if interval else f"not yet known: the interval of |G|² covers 0 {steps}"
    if last["trace_preconditioned"] is None:
        return text
    preconditioned = (last[key] for key in ("b_preconditioned", "preconditioned_low", "preconditioned_high"))
    return f"{text}; preconditioned {_with_interval(*preconditioned) or 'not yet known'}"


def _measured(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["split"] == SPLIT]


class _Estimate(NamedTuple):
    grad_sq: float
    trace: float
    ratio: float | None = None
    low: float | None = None
    high: float | None = None


def _window(rows: Sequence[Mapping[str, Any]], seed: int) -> Window:
    simple, *others = (_estimate(_estimates(rows, kind), seed) for kind in _kinds(rows[0]))
    preconditioned = others[0] if others else [None] * len(_Estimate._fields)
    return Window(rows[0]["step"], rows[-1]["step"], len(rows), *simple, *preconditioned)


def _kinds(row: Mapping[str, Any]) -> list[str]:
    return [kind for kind in ("", _PRECONDITIONED) if f"big_sq{kind}" in row]


def _estimates(rows: Sequence[Mapping[str, Any]], kind: str) -> NDArray[np.float64]:
    """[|G|², tr Σ] of each row, (n, 2)."""
    keys = ("small_batch", "big_batch", f"small_sq{kind}", f"big_sq{kind}")
    small, big, small_sq, big_sq = np.array([[row[key] for key in keys] for row in rows], np.float64).T
    return np.stack([(big * big_sq - small * small_sq) / (big - small), (small_sq - big_sq) / (1 / small - 1 / big)], 1)


def _estimate(steps: NDArray[np.float64], seed: int) -> _Estimate:
    count = len(steps)
    grad_sq, trace = steps.mean(axis=0).tolist()
    if count < _FEWEST:
        return _Estimate(grad_sq, trace)
    length = round(count ** (1 / 3))
    blocks = np.lib.stride_tricks.sliding_window_view(steps, length, axis=0).mean(axis=-1)
    drawn = np.random.default_rng(seed).integers(len(blocks), size=(_RESAMPLES, -(-count // length)))
    grad_sqs, traces = blocks[drawn].mean(axis=1).T
    # Only resamples that are in the sample: between a finite ratio and an infinite one there is no number.
    if np.quantile(grad_sqs, _LEVEL[0], method="nearest") <= 0:
        return _Estimate(grad_sq, trace)
    above = grad_sqs > 0
    ratios = np.full(_RESAMPLES, np.inf)
    ratios[above] = np.maximum(traces[above], 0) / grad_sqs[above]
    low, high = np.quantile(ratios, _LEVEL, method="nearest").tolist()
    return _Estimate(grad_sq, trace, max(trace, 0) / grad_sq, low, high)


def _with_interval(value: float | None, low: float | None, high: float | None, level: str = "") -> str:
    if value is None or low is None or high is None:
        return ""
    return f"{_short(value)} ({level}{_short(low)} to {_short(high)})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
