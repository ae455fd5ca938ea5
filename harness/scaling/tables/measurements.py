"""The two further tables of an experiment: throughput, and the gradient noise scale along training."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.scaling.tables import table


@dataclass(frozen=True)
class Throughput:
    """Images/s of training: median, smallest and largest of repeated windows after warm-up, compile excluded.

    `cores`: the processor cores that all `replicas` together may use; `device`: what it ran on, in words.
    """

    global_batch: int
    replicas: int
    cores: int
    images_per_second: float
    low: float
    high: float
    device: str


@dataclass(frozen=True)
class NoiseWindow:
    """The noise scale, in examples, over the steps `first_step` to `last_step` (both included) of one trial.

    `b_simple` with its 95 % interval, and the one of the preconditioned gradient; None where not yet known.
    """

    global_batch: int
    learning_rate: float
    seed: int
    first_step: int
    last_step: int
    b_simple: float | None
    low: float | None
    high: float | None
    b_preconditioned: float | None
    preconditioned_low: float | None
    preconditioned_high: float | None


_THROUGHPUT: dict[str, table.Parser] = {
    "global_batch": table.whole(1),
    "replicas": table.whole(1),
    "cores": table.whole(1),
    "images_per_second": table.positive,
    "low": table.positive,
    "high": table.positive,
    "device": str,
}
_NOISE: dict[str, table.Parser] = {
    "global_batch": table.whole(1),
    "learning_rate": table.positive,
    "seed": table.whole(0),
    "first_step": table.whole(1),
    "last_step": table.whole(1),
} | {
    name: table.optional(table.not_negative)
    for name in ("b_simple", "low", "high", "b_preconditioned", "preconditioned_low", "preconditioned_high")
}


def read_throughput(path: str | Path) -> list[Throughput]:
    """The rows of throughput.csv. Raises DataError, in one line, for anything wrong in it."""
    rows = table.read(path, _THROUGHPUT, key=("global_batch", "replicas"), check=_wrong_throughput)
    return [Throughput(**row) for row in rows]


def write_throughput(path: str | Path, rows: Sequence[Throughput]) -> None:
    """Replace the file at `path` at once. Raises OSError."""
    table.write(path, [asdict(row) for row in rows], list(_THROUGHPUT))


def read_noise(path: str | Path) -> list[NoiseWindow]:
    """The rows of noise_scale.csv. Raises DataError, in one line, for anything wrong in it."""
    rows = table.read(
        path, _NOISE, key=("global_batch", "learning_rate", "seed", "first_step"), check=_wrong_noise_window
    )
    return [NoiseWindow(**row) for row in rows]


def write_noise(path: str | Path, rows: Sequence[NoiseWindow]) -> None:
    """Replace the file at `path` at once. Raises OSError."""
    table.write(path, [asdict(row) for row in rows], list(_NOISE))


def _wrong_throughput(row: table.Row) -> str | None:
    return _out_of_order(row, "low", "images_per_second", "high")


def _wrong_noise_window(row: table.Row) -> str | None:
    if row["last_step"] < row["first_step"]:
        return f"last_step {row['last_step']} must be at least first_step {row['first_step']}"
    return _out_of_order(row, "low", "b_simple", "high") or _out_of_order(
        row, "preconditioned_low", "b_preconditioned", "preconditioned_high"
    )


def _out_of_order(row: table.Row, low: str, value: str, high: str) -> str | None:
    if row[value] is None:
        return None
    if row[low] is None or row[high] is None:
        return f"{value} {row[value]} has no interval: give {low} and {high}"
    if not row[low] <= row[value] <= row[high]:
        return f"{low} {row[low]}, {value} {row[value]} and {high} {row[high]} must not fall"
    return None
