"""How fast each was trained, and with how much memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_QUANTITIES: dict[str, tuple[str, str, float]] = {
    "images_per_second": ("images per second", ",.0f", 1.0),
    "train_seconds": ("training time, s", ",.1f", 1.0),
    "compile_seconds": ("compile time, s", ",.1f", 1.0),
    "peak_memory_bytes": ("peak memory, MiB", ",.0f", 2.0**20),
}


@dataclass(frozen=True)
class Quantity:
    """One thing that was measured of both."""

    title: str
    a: float | None
    b: float | None
    """In the unit of summary.json; None where it isn't known."""
    form: str
    """A format specification, for the value in `unit`."""
    unit: float
    """In which it is shown."""

    @property
    def ratio(self) -> float | None:
        """B / A."""
        return self.b / self.a if self.a and self.b else None

    @property
    def words(self) -> tuple[str, str, str]:
        """A, B and their ratio; a dash where one isn't known."""
        shown = ["–" if value is None else format(value / self.unit, self.form) for value in (self.a, self.b)]
        return shown[0], shown[1], "–" if self.ratio is None else f"{self.ratio:.2f}"


def speeds(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Quantity]:
    """By the key that two summaries have them under."""
    return {
        key: Quantity(title, a.get(key), b.get(key), form, unit) for key, (title, form, unit) in _QUANTITIES.items()
    }


def caution(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """When the speeds can be compared."""
    devices = [of.get("device") or "an unknown device" for of in (a, b)]
    text = "Speeds are comparable only on the same machine and device, with nothing else running. "
    if devices[0] == devices[1]:
        return text + f"Both ran on the same device: {devices[0]}."
    return text + f"These devices differ, so the ratios mean nothing: A ran on {devices[0]}, B on {devices[1]}."
