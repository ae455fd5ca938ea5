"""Tables that a person and a Markdown reader can read."""

from typing import Any

from harness.gpu_check import tables
from harness.gpu_check.plan import TF32
from harness.gpu_check.tables import Table


def speed(precision: str, batch: int, median: float | None, jit: str = "on") -> dict[str, Any]:
    spread = None if median is None else {"median": median, "min": median / 2, "max": median * 2}
    return {
        "replicas": 1,
        "global_batch": batch,
        "precision": precision,
        "jit": jit,
        "images_per_second": spread,
        "step_seconds": median and {"median": batch / median},
        "compile_seconds": 5.25,
        "peak_memory_bytes": 3 * 2**20,
        "problem": None if median else "out of memory",
    }


def peer(name: str, precision: str | None, batch: int | None, median: float | None) -> dict[str, Any]:
    spread = None if median is None else {"median": median}
    problem = None if median else "not installed"
    return {
        "peer": name,
        "precision": precision,
        "global_batch": batch,
        "images_per_second": spread,
        "problem": problem,
    }


def test_the_columns_of_a_text_stand_below_each_other() -> None:
    title, heading, *rows = tables.as_text(
        Table("T", "so", ["a", "long column"], [["wide cell", "1"], ["b", "2"]])
    ).splitlines()
    assert title == "T: so"
    assert {line.index(cell) for line, cell in zip([heading, *rows], ["long", "1", "2"], strict=True)} == {13}


def test_markdown_is_a_table_whatever_a_cell_holds() -> None:
    lines = tables.as_markdown(Table("T", "so", ["a", "b"], [["x|y", "2"]])).splitlines()
    assert lines[0] == "## T"
    assert "so" in lines
    assert lines[-3:] == ["| a | b |", "| --- | --- |", "| x\\|y | 2 |"]


def test_a_check_is_marked() -> None:
    checks = [{"passed": passed, "name": "n", "found": "f"} for passed in (True, False, None)]
    marks = [row[0] for row in tables.of_checks(checks).rows]
    assert len({*marks}) == 3
    assert "FAILED" in marks[1]


def test_speeds_have_their_unit_and_range_and_a_failure_its_reason() -> None:
    table = tables.of_speed([speed("float32", 4096, 8192.0), speed("float32", 32, None)], "so")
    cells = dict(zip(table.columns, table.rows[0], strict=True))
    assert cells["images/s (range)"] == "8,192 (4,096 to 16,384)"
    assert cells["ms a step"] == "500.00"
    assert cells["peak, MiB"] == "3"
    assert "out of memory" in table.rows[1]


def test_ours_is_held_against_the_better_peer_at_the_same_precision_and_batch() -> None:
    ours = [
        speed("float32", 32, 100.0),
        speed(TF32, 32, 300.0),
        speed("float32", 32, 50.0, jit="off"),
        speed("x", 32, 9.0),
    ]
    theirs = [peer("A", "float32", 32, 80.0), peer("B", "float32", 32, 200.0), peer("A", TF32, 32, 150.0)]
    table = tables.of_peers(theirs, ours, "on")
    assert list(table.columns[2:]) == ["ours", "A", "B", "ours / better"]
    assert [list(row) for row in table.rows] == [
        ["float32", "32", "100", "80", "200", "0.50"],
        [TF32, "32", "300", "150", "–", "2.00"],
    ]


def test_a_peer_that_is_not_there_is_named() -> None:
    table = tables.of_peers([peer("A", None, None, None)], [speed("float32", 32, 100.0)], "on")
    assert "A: not installed" in table.how
    assert table.rows == []


def test_scaling_has_its_efficiency() -> None:
    rows = [speed("float32", 32, 100.0) | {"efficiency": 1.0}, speed("float32", 64, None) | {"efficiency": None}]
    cells = [list(row) for row in tables.of_scaling("Weak", "so", rows).rows]
    assert cells[0][-1] == "100.0%"
    assert cells[1][-2:] == ["out of memory", "–"]
