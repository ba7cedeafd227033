"""Axes to draw on, and what all pictures share: text in proportion, quiet frames."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import (
    FixedLocator,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)
from matplotlib.transforms import ScaledTranslation

__all__ = [
    "DIGITS",
    "EXTREME",
    "HIGHEST",
    "LARGE",
    "axes_or_new",
    "finish",
    "inches",
    "legend_below",
    "logarithmic",
    "plain_log_ticks",
    "points",
    "sigma",
]

SUBSCRIPT = str.maketrans(
    "0123456789", "\u2080\u2081\u2082\u2083\u2084\u2085\u2086\u2087\u2088\u2089"
)
# of bounds in legends
DIGITS = 5
# the largest ratio of a logarithmic axis's ends that has plain numbers
PLAIN_SPAN = 500
NARROW = 2.5  # one with ticks as far apart as those of a linear axis
# beyond it, or one over it, matplotlib's search for ticks leaves float64
EXTREME = 1e280
# colours of values above this are those of a larger unit
LARGE = 1e300
HIGHEST = 1e308  # of an axis


def axes_or_new(
    ax: Axes | None, *, width: float = 0.0, height: float | None = None
) -> Axes:
    """The given axes, or those of a new figure of the user's size.

    Args:
        ax: The axes, if there are any.
        width: Least width in inches.
        height: Height in inches, if the data ask for one.
    """
    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(
            f"ax must be matplotlib Axes; got {type(ax).__name__}; take one of "
            "figure.subplots(), or leave ax out"
        )
    if ax is not None:
        return ax
    wide, high = mpl.rcParams["figure.figsize"]
    size = max(width, wide), height or high
    return plt.subplots(figsize=size, layout="constrained")[1]


def points(factor: float = 1.0) -> float:
    """A font size, relative to the user's."""
    return factor * float(mpl.rcParams["font.size"])


def sigma(number: int) -> str:
    """The symbol of a singular value, counted from 1."""
    return f"\u03c3{number}".translate(SUBSCRIPT)


def plain_log_ticks(axis: Axis, low: float, high: float) -> None:
    """Ticks of a logarithmic axis with room for their numbers, none at minor ones.

    Powers of ten, written plainly over few decades, and numbers between them over little
    more than one; over less, such as a linear axis has.
    """
    axis.set_minor_formatter(NullFormatter())
    if low < 1 / EXTREME or high > EXTREME:
        _few_ticks(axis, low, high)
        return
    if not 0 < low < high or high / low > PLAIN_SPAN:
        return
    if (low < 1e-3 or high > 1e4) and high / low >= 100:
        return
    if high / low < NARROW:
        axis.set_major_locator(MaxNLocator(6))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter("{x:g}")
        return
    subs: tuple[float, ...] = (1.0,)
    if high / low < 100:
        subs = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if high / low < 12 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_major_formatter("{x:g}")


def logarithmic(ax: Axes) -> bool:
    """Make the vertical axis logarithmic; whether its ends are fixed.

    Where data come near the end of float64, matplotlib's margins would overflow: there
    the ends are those of the data.
    """
    data = [np.asarray(line.get_ydata(), dtype=float) for line in ax.lines]
    live = np.concatenate([y[np.isfinite(y) & (y > 0)] for y in data])
    fixed = bool(len(live)) and float(live.max()) > EXTREME
    if fixed:
        ax.set_autoscaley_on(False)
        ax.set_ylim(0.5 * float(live.min()), float(live.max()))
    ax.set_yscale("log")
    if fixed:
        plain_log_ticks(ax.yaxis, *ax.get_ylim())
    return fixed


def _few_ticks(axis: Axis, low: float, high: float) -> None:
    """Powers of ten within the ends, few enough."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    step = max(1, (last - first) // 5)
    axis.set_minor_locator(NullLocator())
    axis.set_major_locator(FixedLocator([10.0**k for k in range(first, last + 1, step)]))


def legend_below(ax: Axes, **look: Any) -> None:
    """A legend under the axes' ticks and label, where no title is."""
    inch = ax.figure.dpi_scale_trans  # whatever layout makes of the axes
    down = ScaledTranslation(0, -points(3.3) / 72, inch)
    place = {
        "loc": "upper center",
        "bbox_to_anchor": (0.5, 0),
        "bbox_transform": ax.transAxes + down,
    }
    ax.legend(**{**place, "frameon": False, **look})


def inches(ax: Axes) -> tuple[float, float]:
    """Width and height of the axes before layout."""
    box = ax.get_window_extent()
    dpi = ax.figure.dpi
    return box.width / dpi, box.height / dpi


def finish(ax: Axes, *, grid: str | None = "y", left: bool = True) -> None:
    """A light grid behind the data and no frame where nothing is read off.

    Args:
        ax: The axes.
        grid: Whose ticks have lines: ``"x"``, ``"y"``, ``"both"`` or none.
        left: Whether the left spine stays.
    """
    hidden = ["top", "right"] if left else ["top", "right", "left"]
    ax.spines[hidden].set_visible(False)
    ax.set_axisbelow(True)
    if grid is not None:
        ax.grid(axis=grid, color="0.9", linewidth=0.6)  # type: ignore[arg-type]
