"""What is wrong with a data set, told all at once: who mends one file of a thousand wants to know of the other nine."""

from collections.abc import Sequence

from harness.errors import DataError

_MOST_PLACES = 5


def refuse(source: str, problems: Sequence[str]) -> None:
    """Raise DataError where there are `problems`, each half a sentence: one in its line, several as a list below it."""
    if not problems:
        return
    if len(problems) == 1:
        raise DataError(f"data.source: {source}: {problems[0]}")
    lines = "".join(f"\n  {problem}" for problem in problems)
    raise DataError(f"data.source: {source} has {len(problems)} problems:{lines}")


def places(of: Sequence[object], most: int = _MOST_PLACES) -> str:
    """The first few row numbers or paths, and how many more there are: `3, 17, 40 and 1,209 more`."""
    shown = ", ".join(f"{place:,}" if isinstance(place, int) else str(place) for place in of[:most])
    return f"{shown} and {len(of) - most:,} more" if len(of) > most else shown
