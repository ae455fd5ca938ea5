"""How long the evaluations of a run have not become better."""

from typing import Any

from harness.config.target import EarlyStop


class Patience:
    """Counts the evaluations since the best one; what it knows goes through a checkpoint's header."""

    def __init__(self, early_stop: EarlyStop | None, known: dict[str, Any] | None = None) -> None:
        """`known`: what `as_json` gave when the checkpoint was written. It counts for the metric that it was of."""
        self._early_stop = early_stop
        self._best: float | None = None
        self._since = 0
        if early_stop and known and [known["metric"], known["mode"]] == [early_stop.metric, early_stop.mode]:
            self._best, self._since = known["best"], known["since"]

    def add(self, validation: dict[str, Any]) -> None:
        """Take the next evaluation. One without a finite value is no better than any."""
        if self._early_stop is None:
            return
        value = self._early_stop.value(validation)
        if self._early_stop.is_better(value, self._best):
            self._best, self._since = value, 0
        else:
            self._since += 1

    def is_over(self) -> bool:
        return self._early_stop is not None and self._since >= self._early_stop.patience

    def as_json(self) -> dict[str, Any] | None:
        if self._early_stop is None:
            return None
        named = {"metric": self._early_stop.metric, "mode": self._early_stop.mode}
        return {**named, "best": self._best, "since": self._since}
