"""Numbers in words, alike on the page and in the pictures."""


def percent(probability: float) -> str:
    """A probability in per cent that never rounds up to certainty."""
    return "> 99.9 %" if probability > 0.999 else f"{100 * probability:.1f} %"
