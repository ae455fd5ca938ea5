"""What was found, as tables for a terminal and for Markdown: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MARKS = {True: "ok", False: "FAILED", None: "–"}


@dataclass(frozen=True)
class Table:
    """Cells of text under a heading, and how the figures were got."""

    title: str
    how: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def as_text(table: Table) -> str:
    """The table for a terminal."""
    every = [table.columns, *table.rows]
    widths = [max(len(row[column]) for row in every) for column in range(len(table.columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in every]
    return "\n".join([f"{table.title}: {table.how}", *(f"  {line}" for line in lines)])


def as_markdown(table: Table) -> str:
    """The table for a Markdown file."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join(
        [
            f"## {table.title}",
            "",
            table.how,
            "",
            line(table.columns),
            line(["---"] * len(table.columns)),
            *map(line, table.rows),
        ]
    )


def of_checks(checks: Sequence[dict[str, Any]]) -> Table:
    """A row a check: whether it passed, what had to hold, and what was found."""
    rows = [[MARKS[check["passed"]], check["name"], check["found"]] for check in checks]
    how = "by the commands in gpu-check.json, a process each, several at a time on one card"
    return Table("Checks", how, ["", "what has to hold", "found"], rows)


def of_speed(rows: Sequence[dict[str, Any]], how: str) -> Table:
    """A row a precision, `train.jit` and batch; `how` says how it was measured."""
    columns = ["precision", "XLA", "batch", "images/s (range)", "ms a step", "compile, s", "peak, MiB"]
    return Table("Speed on one device", how, columns, [_speed_cells(row) for row in rows])


def _speed_cells(row: dict[str, Any]) -> list[str]:
    cells = [row["precision"], row["jit"], f"{row['global_batch']:,}"]
    if row["problem"] is not None:
        return [*cells, row["problem"], "–", "–", "–"]
    return [
        *cells,
        spread(row["images_per_second"]),
        f"{row['step_seconds']['median'] * 1000:,.2f}",
        f"{row['compile_seconds']:.1f}",
        f"{row['peak_memory_bytes'] / 2**20:,.0f}",
    ]


def of_peers(rows: Sequence[dict[str, Any]], ours: Sequence[dict[str, Any]], jit: str) -> Table:
    """By precision and batch, ours with the main `train.jit` beside each peer's, and the ratio to the better one."""
    names = list(dict.fromkeys(row["peer"] for row in rows))
    theirs = {(row["peer"], row["precision"], row["global_batch"]): row["images_per_second"] for row in rows}
    lines = []
    for row in ours:
        if row["jit"] != jit or not row["images_per_second"]:
            continue
        found = [theirs.get((name, row["precision"], row["global_batch"])) for name in names]
        speeds = [each["median"] for each in found if each]
        if speeds:
            own = row["images_per_second"]["median"]
            cells = [f"{each['median']:,.0f}" if each else "–" for each in found]
            batch = f"{row['global_batch']:,}"
            lines.append([row["precision"], batch, f"{own:,.0f}", *cells, f"{own / max(speeds):.2f}"])
    missing = [f"{row['peer']}: {row['problem']}" for row in rows if row["problem"] is not None]
    how = (
        "images/s, medians; PyTorch as one CUDA graph a step, JAX as 64 steps in a scan, each in a process of its own "
        f"after ours. Ours shifts images at random too, the others don't. {'; '.join(missing)}"
    )
    return Table("Beside others", how.strip(), ["precision", "batch", "ours", *names, "ours / better"], lines)


def of_scaling(title: str, how: str, rows: Sequence[dict[str, Any]]) -> Table:
    """A row a number of devices; `how` says how it was measured."""
    lines = [
        [
            str(row["replicas"]),
            f"{row['global_batch']:,}",
            row["problem"] or spread(row["images_per_second"]),
            "–" if row["efficiency"] is None else f"{row['efficiency']:.1%}",
        ]
        for row in rows
    ]
    return Table(title, how, ["devices", "global batch", "images/s (range)", "efficiency"], lines)


def spread(values: dict[str, float]) -> str:
    """Median and range of a speed."""
    return f"{values['median']:,.0f} ({values['min']:,.0f} to {values['max']:,.0f})"


def efficiency(devices: int, images_per_second: float, of_one: float) -> float:
    """images/s on n devices / (n × images/s on one): 1 where each added device brings as much as the first.

    Weak scaling asks it at a fixed batch on each device, strong scaling at a fixed global batch.
    """
    return images_per_second / (devices * of_one)


def efficiencies(rows: Sequence[Mapping[str, Any]], batches: Mapping[int, int]) -> list[dict[str, Any]]:
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
