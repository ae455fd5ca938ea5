"""The drawing that all plots of a scaling experiment share. Every PNG and SVG depends on its data alone."""

import io
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.path import Path
from matplotlib.ticker import FixedLocator, FuncFormatter, Locator, LogLocator, NullFormatter, NullLocator

from harness.page.picture import INK, MUTED, Picture
from harness.page.table import Row, Table
from harness.page.wording import number
from harness.scaling.fit.curve import Fit
from harness.scaling.report.estimates import interval, with_interval

Along = Literal["x", "y"]
BLUE, GREEN, VERMILION, PURPLE = "#0072B2", "#007D5A", "#D55E00", "#8E4585"
"""The fit; B_crit; what failed; what was asked for. Told apart by the colour-blind too, and never by colour alone."""
UP = Path([(0, 0), (0, 1), (-0.4, 0.5), (0, 1), (0.4, 0.5)], [1, 2, 1, 2, 2])
DOWN = Path([(0, 0), (0, -1), (-0.4, -0.5), (0, -1), (0.4, -0.5)], [1, 2, 1, 2, 2])
"""Arrows that start at the point they are drawn at."""
MUTED_LINE: dict[str, Any] = {"color": MUTED, "linewidth": 1.1, "linestyle": (0, (1, 1.5))}
OVER: dict[str, Any] = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
"""Behind text that a line may cross."""
_DPI = 144
_WIDTH = 7.2  # inches: as wide as the page shows it
_LABEL = 0.075  # of the axis: what a tick's label needs


def drawing(title: str, panels: int = 1, height: float = 5.4) -> tuple[Figure, list[Axes]]:
    """A white figure of that height in inches with panels side by side, its title above them."""
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white", layout=ConstrainedLayoutEngine(w_pad=0.08))
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11.5, color=INK, x=0.012, ha="left")
    axes = [figure.add_subplot(1, panels, panel + 1) for panel in range(panels)]
    for panel in axes:
        panel.grid(alpha=0.25, linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=9, colors=INK)
    return figure, axes


def finished(
    figure: Figure,
    name: str,
    title: str,
    caption: str,
    alt: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
) -> Picture:
    """The plot, drawn as PNG and SVG, neither with a date or a version in it."""
    png, svg = io.BytesIO(), io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    figure.savefig(png, format="png", metadata={"Software": None})
    return Picture(
        name,
        title,
        caption,
        alt,
        png.getvalue(),
        Table(title, columns, [Row(cells) for cells in rows]),
        chart=True,
        svg=svg.getvalue(),
        titled=True,
    )


def legend_below(figure: Figure, columns: int = 2) -> None:
    """One legend under all panels, where it can't hide a point."""
    each: dict[str, Artist] = {}  # what is drawn trial by trial, or in each panel, is named every time
    for axes in figure.axes:
        handles, names = axes.get_legend_handles_labels()
        each |= zip(names, handles, strict=True)
    figure.legend(
        list(each.values()),
        list(each),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=9,
        borderpad=0.9,
    )


def labels(axes: Axes, x: str, y: str) -> None:
    """Name both axes."""
    axes.set_xlabel(x, fontsize=9.5, color=INK)
    axes.set_ylabel(y, fontsize=9.5, color=INK)


def measured_axis(axes: Axes, along: Along, values: Iterable[float], low: float, high: float) -> None:
    """A logarithmic axis with a tick at each measured value, and a label at each that has room for one."""
    values = sorted(set(values))
    labelled: list[float] = []
    for value in values:
        if not labelled or math.log(value / labelled[-1]) > _LABEL * math.log(high / low):
            labelled.append(value)
    _logarithmic(axes, along, FixedLocator(labelled), low, high)
    getattr(axes, f"{along}axis").set_minor_locator(FixedLocator([value for value in values if value not in labelled]))


def number_axis(axes: Axes, along: Along, low: float, high: float) -> None:
    """A logarithmic axis with plain numbers at it."""
    decades = math.log10(high / low)
    steps = (1, 1.5, 2, 3, 5, 7) if decades < 1 else (1, 2, 5) if decades < 3.5 else (1, 3) if decades < 5 else (1,)
    _logarithmic(axes, along, LogLocator(10, steps, numticks=30), low, high)


def _logarithmic(axes: Axes, along: Along, ticks: Locator, low: float, high: float) -> None:
    axes.set(**{f"{along}scale": "log", f"{along}lim": (low, high)})
    axis = getattr(axes, f"{along}axis")
    axis.set_major_locator(ticks)
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def log_limits(values: Iterable[float], margin: float = 1.5) -> tuple[float, float]:
    """Limits of a logarithmic axis that holds these values, `margin` times beyond them."""
    values = list(values)
    return min(values) / margin, max(values) * margin


def beside(batch: float, index: int, count: int, pitch: float) -> float:
    """Where on a logarithmic axis the index-th of `count` trials of a batch stands, so that none hides another."""
    return batch * math.exp(pitch * (index - (count - 1) / 2))


def pitch(sizes: Iterable[float], most: int, widest: float) -> float:
    """From one of up to `most` trials to the next, at most `widest` of a logarithmic axis around these batches."""
    sizes = sorted(set(sizes))
    low, high = log_limits(sizes)
    nearest = min((math.log(b / a) for a, b in pairwise(sizes)), default=math.log(high / low))
    return min(0.75 * nearest / most, widest * math.log(high / low))


def critical_batch(axes: Axes, fit: Fit, along: Along = "x") -> None:
    """B_crit's interval as a span of these axes, and where it is identified its value as a line."""
    low, high = axes.get_xlim() if along == "x" else axes.get_ylim()
    span = max(fit.b_crit.low, low), min(fit.b_crit.high, high)
    draw_span, draw_line = (axes.axvspan, axes.axvline) if along == "x" else (axes.axhspan, axes.axhline)
    name = "$B_{crit}$"
    if fit.identified:
        draw_span(*span, color=GREEN, alpha=0.13, linewidth=0)
        draw_line(
            fit.b_crit.value,
            color=GREEN,
            linewidth=1.4,
            linestyle=(0, (5, 2)),
            label=f"{name} {with_interval(fit.b_crit)}",
        )
    elif fit.b_crit.low > 0 or fit.b_crit.high < math.inf:
        draw_span(*span, color=GREEN, alpha=0.13, linewidth=0, label=f"{name}: {interval(fit.b_crit)}")


def style(fit: Fit) -> dict[str, Any]:
    """How the fitted line looks: dashed where the measurements don't settle it."""
    return {"color": BLUE, "linewidth": 1.6, "linestyle": "solid" if fit.identified else (0, (4, 3))}


def caveat(fit: Fit) -> str:
    """What a caption adds where the measurements don't settle B_crit."""
    return "" if fit.identified else f" B_crit is not identified by these batches, so the fit is dashed: {fit.bound}."


def fitted(fit: Fit) -> str:
    """What the fitted line is called in a legend."""
    return "fit, with its 95% bootstrap band" if fit.identified else "fit: $B_{crit}$ is not identified"
