"""Efficiency over numbers of devices: pure."""

from collections.abc import Mapping, Sequence
from typing import Any


def efficiency(devices: int, images_per_second: float, of_one: float) -> float:
    """images/s on n devices / (n × images/s on one): 1 where each added device brings as much as the first.

    Weak scaling asks it at a fixed batch on each device, strong scaling at a fixed global batch.
    """
    return images_per_second / (devices * of_one)


def table(rows: Sequence[Mapping[str, Any]], batches: Mapping[int, int]) -> list[dict[str, Any]]:
    """Each number of devices with its speed and efficiency.

    Args:
        rows: measurements, each with "replicas", "global_batch" and "images_per_second" (None where there is none).
        batches: number of devices → the global batch that counts for it.

    Returns:
        A row for each number in `batches`: the measurement, and its "efficiency": None where it, or that on one
        device, was not measured.
    """
    found = {row["replicas"]: row for row in rows if row["global_batch"] == batches.get(row["replicas"])}
    speeds = {count: row["images_per_second"] and row["images_per_second"]["median"] for count, row in found.items()}
    one = speeds.get(1)
    return [
        {**found[count], "efficiency": efficiency(count, speed, one) if speed and one else None}
        for count in batches
        if count in found
        for speed in [speeds[count]]
    ]
