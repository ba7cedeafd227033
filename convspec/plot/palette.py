"""Colours that stay apart for colour-blind eyes and in grey print.

Source: Okabe and Ito, "Color Universal Design", 2008.
"""

from __future__ import annotations

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

__all__ = ["CYCLE", "EXACT", "STAND_IN", "axes_or_new"]

EXACT = "#0072B2"  # blue
STAND_IN = "#E69F00"  # orange
CYCLE = (EXACT, "#D55E00", "#009E73", "#CC79A7", "#000000", STAND_IN, "#56B4E9")


def axes_or_new(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The given axes, or those of a new figure of this size in inches."""
    if ax is not None:
        return ax
    return plt.subplots(figsize=size, layout="constrained")[1]
