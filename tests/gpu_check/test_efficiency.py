"""The arithmetic of efficiency."""

from typing import Any

import pytest

from harness.gpu_check import tables


def row(replicas: int, batch: int, speed: float | None) -> dict[str, Any]:
    spread = None if speed is None else {"median": speed, "min": speed, "max": speed}
    return {"replicas": replicas, "global_batch": batch, "images_per_second": spread}


ROWS = [row(1, 256, 1000.0), row(1, 4096, 4000.0), row(2, 512, 1800.0), row(2, 4096, 6000.0), row(4, 1024, 3000.0)]


def test_weak_scaling_is_at_a_fixed_batch_on_each_device() -> None:
    table = tables.efficiencies(ROWS, {count: 256 * count for count in (1, 2, 4)})
    assert [line["global_batch"] for line in table] == [256, 512, 1024]
    assert [line["efficiency"] for line in table] == pytest.approx([1.0, 0.9, 0.75])


def test_strong_scaling_is_at_a_fixed_global_batch() -> None:
    table = tables.efficiencies(ROWS, {1: 4096, 2: 4096})
    assert [line["efficiency"] for line in table] == pytest.approx([1.0, 0.75])


def test_without_a_speed_there_is_no_efficiency() -> None:
    failed = tables.efficiencies([row(1, 256, 1000.0), row(2, 512, None)], {1: 256, 2: 512})
    assert [line["efficiency"] for line in failed] == [1.0, None]
    no_baseline = tables.efficiencies([row(1, 256, None), row(2, 512, 1000.0)], {1: 256, 2: 512})
    assert [line["efficiency"] for line in no_baseline] == [None, None]
    assert [line["replicas"] for line in tables.efficiencies(ROWS, {1: 256, 8: 2048})] == [1], "8 was never tried"
