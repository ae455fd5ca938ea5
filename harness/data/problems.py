"""What is wrong with a data set, reported all at once: fixing one file of ten at a time is tedious."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from textwrap import indent

from harness.errors import DataError

_MOST_PLACES = 5


class SeveralProblems(DataError):
    """Reported as a list, a line each."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        lines = indent("\n".join(problems), "  ")
        super().__init__(f"data.source: {source} has {len(problems)} problems:\n{lines}")
        self.problems = problems


class Problems:
    """Those of a source, as they are found by steps that don't need each other's results."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.found: list[str] = []

    def add(self, problem: str) -> None:
        """Half a sentence."""
        self.found.append(problem)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Keep the DataError that is raised inside, if one is, for `refuse`."""
        try:
            yield
        except SeveralProblems as error:
            self.found += error.problems
        except DataError as error:
            self.found.append(str(error).removeprefix(f"data.source: {self._source}: "))

    def refuse(self) -> None:
        """Raise DataError where there are any: one in its line, several as a list."""
        if len(self.found) > 1:
            raise SeveralProblems(self._source, self.found)
        if self.found:
            begin = "" if self.found[0].startswith("data.") else f"data.source: {self._source}: "
            raise DataError(f"{begin}{self.found[0]}")


def places(of: Sequence[object], most: int = _MOST_PLACES) -> str:
    """The first few row numbers, paths or names, and how many more there are: `3, 17, 40 and 1,209 more`."""
    shown = ", ".join(f"{place:,}" if isinstance(place, int) else str(place) for place in of[:most])
    return f"{shown} and {len(of) - most:,} more" if len(of) > most else shown
