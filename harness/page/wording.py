"""Numbers and lists in words, alike on the page, in the pictures and in the terminal."""

import math
from collections.abc import Sequence


def percent(probability: float) -> str:
    """A probability as a percentage that never rounds up to certainty."""
    return "> 99.9%" if probability > 0.999 else f"{100 * probability:.1f}%"


def number(value: float) -> str:
    """Three digits, all of a whole number below 100,000; thousands apart, never an exponent before 1e-4 or 1e15."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) < 1e5 and value == round(value):
        return f"{value:,.0f}"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:,.0f}" if digits <= 0 else f"{rounded:.{digits}g}" if abs(value) < 1e-4 else f"{rounded:.3g}"


def measured(value: float | None, form: str = ".4f") -> str:
    """A loss or a metric, by default with four decimals; None is one that was not finite."""
    return "not finite" if value is None else format(value, form)


def counted(count: int, noun: str) -> str:
    """`1 image`, `2,000 images`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def capitalized(sentence: str) -> str:
    """With its first letter a capital one, and all others as they are."""
    return f"{sentence[:1].upper()}{sentence[1:]}"
