"""What the target takes in seconds, and how the speed of training grows with the replicas."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

from harness.page.picture import INK, MUTED, Picture
from harness.page.wording import counted, number
from harness.scaling.fit.costs import CORRECTNESS
from harness.scaling.report.estimates import cell
from harness.scaling.report.plot import (
    GREEN,
    MUTED_LINE,
    OVER,
    UP,
    beside,
    drawing,
    finished,
    labels,
    legend_below,
    log_limits,
    measured_axis,
    number_axis,
    pitch,
)
from harness.scaling.tables.measurements import Throughput
from harness.scaling.tables.table import Row

_MOST_LINES = 6
_LINE = 0.045  # the height of a line of text, as a share of a panel's
_LOOKS = (("#0072B2", "o"), ("#D55E00", "s"), ("#8E4585", "^"), ("#666666", "v"), ("#1a1a1a", "P"))
_CROWDED = f"more replicas than cores: {CORRECTNESS}"


def seconds_plot(throughput: Sequence[Throughput], results: dict[str, Any]) -> Picture:
    """Seconds to target, which is steps times the seconds of a step, against the global batch; a line for each R."""
    title = "Seconds to target against global batch"
    figure, (axes,) = drawing(title)
    rows: list[Row] = results["seconds_to_target"]
    crowded = {(row.global_batch, row.replicas) for row in throughput if row.replicas > row.cores}
    sizes = [row["global_batch"] for row in rows]
    top = max(row["high"] or row["value"] for row in rows)
    measured_axis(axes, "x", sizes, *log_limits(sizes))
    number_axis(axes, "y", *log_limits([top, *(row["low"] or row["value"] for row in rows)], 1.5))
    counts = sorted({row["replicas"] for row in rows})
    between = pitch(sizes, len(counts), 0.012)
    for index, count in enumerate(counts):
        colour, marker = _LOOKS[index % len(_LOOKS)]
        own = sorted((row for row in rows if row["replicas"] == count), key=lambda row: int(row["global_batch"]))
        own_crowded = any((row["global_batch"], count) in crowded for row in own)
        x = [beside(row["global_batch"], index, len(counts), between) for row in own]
        name = counted(count, "replica") + (f" ({CORRECTNESS})" if own_crowded else "")
        for place, row in zip(x, own, strict=True):
            bottom = row["low"] or axes.get_ylim()[0]
            axes.plot([place] * 2, [bottom, row["high"] or row["value"]], color=colour, linewidth=1.2)
            if row["high"] is None:
                axes.plot(place, row["value"], marker=UP, markersize=36, mfc="none", color=colour, linestyle="none")
            if not row["measured"]:
                name_of_ring = "steps from the fit: a batch without trials"
                axes.plot(
                    place, row["value"], "o", markersize=13, mfc="none", mec=MUTED, linestyle="none", label=name_of_ring
                )
        axes.plot(
            x,
            [row["value"] for row in own],
            color=colour,
            marker=marker,
            markersize=7,
            linewidth=1.5,
            linestyle=(0, (4, 3)) if own_crowded else "solid",
            mfc="white" if own_crowded else colour,
            label=name,
        )
    fastest = results["recommended"]["fastest"]
    if fastest is not None and fastest["unit"] == "seconds":
        place = beside(fastest["global_batch"], counts.index(fastest["replicas"]), len(counts), between)
        axes.plot(
            place,
            fastest["to_target"]["value"],
            "D",
            mfc="none",
            mec=GREEN,
            mew=1.8,
            markersize=15,
            label=f"fastest, ties to the smaller batch: {number(fastest['global_batch'])}",
        )
    labels(axes, "global batch", "seconds to target")
    legend_below(figure)
    return finished(
        figure,
        "seconds",
        title,
        "Steps to target times the measured step time. The bars combine the range over seeds and evaluation points "
        "with that of the speed; an arrow means that a seed did not reach the target. Training only: compilation, "
        "evaluation and start-up are excluded.",
        f"Seconds to target for {len(set(sizes))} batches on {', '.join(map(str, counts))} replicas, from "
        f"{number(min(row['value'] for row in rows))} to {number(max(row['value'] for row in rows))}.",
        ("global batch", "replicas", "seconds to target", "from", "to", "steps", ""),
        [
            (
                number(row["global_batch"]),
                str(row["replicas"]),
                number(row["value"]),
                cell(row["low"]),
                "not reached" if row["high"] is None else number(row["high"]),
                "measured" if row["measured"] else "from the fit",
                CORRECTNESS if (row["global_batch"], row["replicas"]) in crowded else "",
            )
            for row in rows
        ],
    )


def throughput_plot(results: dict[str, Any]) -> Picture:
    """Images/s against replicas: at the same global batch (strong), and at the same batch a replica (weak scaling)."""
    title = "Training speed against replicas"
    figure, panels = drawing(title, 2, 5.2)
    rows: list[Row] = results["throughput"]
    ends = [row["images_per_second"][end] for row in rows for end in ("low", "high")]
    for axes in panels:
        number_axis(axes, "y", *log_limits(ends, 1.4))
    _scaling(panels[0], rows, "strong", "global_batch")
    _scaling(panels[1], rows, "weak", "replica_batch")
    panels[0].set_title("strong: same global batch", fontsize=9.5, color=INK, loc="left")
    panels[1].set_title("weak: same batch a replica", fontsize=9.5, color=INK, loc="left")
    labels(panels[0], "replicas", "images/s")
    labels(panels[1], "replicas", "")
    legend_below(figure, 1)
    return finished(
        figure,
        "throughput",
        title,
        "Images/s is the global batch divided by the step time: the median of repeated windows after warm-up, without "
        "compilation; bars run from the slowest window to the fastest. The label at the end of each line is its batch "
        "and its efficiency: speed divided by replicas times the speed of one.",
        f"Images/s of {len(rows)} measurements on up to {max(row['replicas'] for row in rows)} replicas, from "
        f"{number(min(row['images_per_second']['value'] for row in rows))} to "
        f"{number(max(row['images_per_second']['value'] for row in rows))}.",
        SPEED_COLUMNS,
        [speed_row(row) for row in rows],
    )


SPEED_COLUMNS = (
    "global batch",
    "replicas",
    "batch per replica",
    "cores",
    "images/s",
    "slowest",
    "fastest",
    "strong speed-up",
    "efficiency",
    "weak speed-up",
    "efficiency",
    "",
)


def speed_row(row: Row) -> tuple[str, ...]:
    """One of the results' rows of throughput as text."""
    speed = row["images_per_second"]
    counts = [number(row[name]) for name in ("global_batch", "replicas", "replica_batch", "cores")]
    gains = []
    for scaling in (row["strong"], row["weak"]):
        gains += [f"{scaling['speed_up']['value']:.2f}" if scaling else "", _efficiency(scaling)]
    return (*counts, *(f"{speed[name]:,.0f}" for name in ("value", "low", "high")), *gains, row["label"] or "")


def _efficiency(scaling: Row | None) -> str:
    return f"{scaling['efficiency']['value']:.0%}" if scaling and scaling["efficiency"] else ""


def _last_efficiency(line: Sequence[Row], kind: str) -> str:
    """That of the most replicas that have one."""
    for row in reversed(line):
        if row["replicas"] > 1 and (text := _efficiency(row[kind])):
            return f": {text}" if row is line[-1] else f": {text} on {row['replicas']}"
    return ""


def _scaling(axes: Axes, rows: Sequence[Row], kind: str, batch: str) -> None:
    """One panel: a line for each batch that was measured on one replica and on more."""
    lines: defaultdict[int, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: int(row["replicas"])):
        if row[kind] is not None:
            lines[row[batch]].append(row)
    sizes = sorted(size for size, line in lines.items() if len(line) > 1)
    counts = [row["replicas"] for row in rows]
    measured_axis(axes, "x", counts, *log_limits(counts, 1.1))
    if not sizes:
        axes.text(0.5, 0.5, "needs one replica and more\nat the same batch", transform=axes.transAxes, ha="center")
        return
    chosen = [sizes[round(i)] for i in np.linspace(0, len(sizes) - 1, min(_MOST_LINES, len(sizes)))]
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.85, len(chosen)))
    ends: list[tuple[float, float, str]] = []
    for size, colour in zip(chosen, colours, strict=True):
        line, shade = lines[size], tuple(colour)
        x = np.array([row["replicas"] for row in line], float)
        y = np.array([row["images_per_second"]["value"] for row in line])
        axes.plot(x, y[0] * x / x[0], label="in proportion to the replicas", **MUTED_LINE | {"linewidth": 0.9})
        crowded = [row["label"] is not None for row in line]
        axes.plot(x, y, color=shade, linewidth=1.4, linestyle=(0, (4, 3)) if any(crowded) else "solid")
        for place, height, row, hollow in zip(x, y, line, crowded, strict=True):
            speed = row["images_per_second"]
            axes.plot([place] * 2, [speed["low"], speed["high"]], color=shade, linewidth=1.2)
            face, name = ("white", _CROWDED) if hollow else (shade, "measured")
            axes.plot(place, height, "o", mfc=face, mec=shade, mew=1.4, markersize=6, linestyle="none", label=name)
        ends.append((float(x[-1]), float(y[-1]), f"{number(size)}{_last_efficiency(line, kind)}"))
    _at_its_end(axes, ends)


def _at_its_end(axes: Axes, ends: list[tuple[float, float, str]]) -> None:
    """Each text to the right of its (x, y), moved up as far as those below it need."""
    low, high = map(math.log, axes.get_ylim())
    beside_it = axes.transData + ScaledTranslation(8 / 72, 0, axes.figure.dpi_scale_trans)
    free: defaultdict[float, float] = defaultdict(lambda: low)
    for x, y, text in sorted(ends):
        place = max(math.log(y), free[x])
        free[x] = place + _LINE * (high - low)
        axes.text(x, math.exp(place), text, transform=beside_it, va="center", fontsize=8.5, color=INK, bbox=OVER)
