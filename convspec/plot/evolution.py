"""Lines over the steps of a training: one per layer, enclosed ones as hatched bands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from convspec.plot.canvas import finish, logarithmic, plain_log_ticks, points
from convspec.plot.palette import CYCLE

__all__ = ["LOGARITHMIC", "draw_line", "legend_beside", "over_steps"]

LOGARITHMIC = {"norm", "smallest", "condition_number", "nuclear_norm", "schatten_4"}
STYLES = ("-", "--", "-.", (0, (1, 1)))
FEW = 20  # steps that have markers
MOST_ROWS = 26  # of a column of the legend


def draw_line(
    ax: Axes,
    at: Sequence[float],
    ends: Sequence[tuple[float, float]],
    name: str,
    place: int,
    look: dict[str, Any],
) -> None:
    """A quantity of one layer; where its ends are apart a hatched band.

    Args:
        ax: Axes to draw on.
        at: The steps.
        ends: Of the quantity at each step; NaN where there is none.
        name: In the legend.
        place: Among the layers, which decides on colour and style.
        look: For ``Axes.plot``.
    """
    lower, upper = np.array(ends, dtype=float).T
    options: dict[str, Any] = {
        "color": CYCLE[place % len(CYCLE)],
        "linestyle": STYLES[place % len(STYLES)],
        "marker": "o",
        "markersize": 3.0 if len(at) <= FEW else 0.0,
        **look,
    }
    if np.array_equal(lower, upper, equal_nan=True):
        ax.plot(at, upper, label=name, **options)
        return
    color = options["color"]
    ax.fill_between(
        at, lower, upper, facecolor=(color, 0.25), edgecolor=color,
        hatch="//////", linewidth=0.0,
    )  # fmt: skip
    ax.plot(at, upper, label=f"{name}, enclosed", **options)
    ax.plot(at, lower, **options)


def over_steps(ax: Axes, at: Sequence[float], label: str, *, log: bool) -> None:
    """Scales, ticks and frame of axes over steps.

    Args:
        ax: With all lines drawn.
        at: The steps.
        label: Of the horizontal axis.
        log: Whether the vertical one is logarithmic where anything is positive.
    """
    if log and _has_positive(ax):
        logarithmic(ax)
        plain_log_ticks(ax.yaxis, *ax.get_ylim())
    if all(step == round(step) for step in at):
        ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    ax.set_xlabel(label)
    finish(ax)


def legend_beside(ax: Axes, *, by_end: bool) -> None:
    """Beside the axes, lines in the order in which they end, or as they were drawn."""
    handles, labels = ax.get_legend_handles_labels()
    if by_end:
        ends = [_last(handle) for handle in handles]
        order = sorted(range(len(ends)), key=lambda place: -ends[place])
        handles, labels = [handles[j] for j in order], [labels[j] for j in order]
    columns = -(-len(handles) // MOST_ROWS)
    ax.legend(
        handles,
        labels,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        ncols=columns,
        fontsize=points(0.85 if columns == 1 else 0.7),
    )


def _has_positive(ax: Axes) -> bool:
    return any(
        bool((np.nan_to_num(np.asarray(line.get_ydata(), dtype=float)) > 0).any())
        for line in ax.lines
    )


def _last(handle: Artist) -> float:
    """The last value of a line; what is unknown comes last."""
    if not isinstance(handle, Line2D):
        return -math.inf
    values = np.asarray(handle.get_ydata(), dtype=float)
    return float(values[-1]) if np.isfinite(values[-1]) else -math.inf
