"""A quantity of layers over the checkpoints of a sweep, drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes

from convspec.plot.canvas import axes_or_new
from convspec.plot.evolution import LOGARITHMIC, draw_line, legend_beside, over_steps
from convspec.sweeps.summary import Known, ends

if TYPE_CHECKING:
    from convspec.sweeps.result import Sweep

__all__ = ["draw", "finite_ends"]


def draw(
    sweep: Sweep,
    quantity: str,
    *,
    ax: Axes | None,
    layers: str | Sequence[str] | None,
    legend: bool,
    **look: Any,
) -> Axes:
    """One line per layer, a hatched band where it is enclosed.

    Raises:
        ValueError: If there is no such layer or quantity.
    """
    names = (
        sweep.layers
        if layers is None
        else [layers]
        if isinstance(layers, str)
        else layers
    )
    lines = {name: sweep.evolution(name, quantity) for name in names}
    ax = axes_or_new(ax)
    for place, (name, values) in enumerate(lines.items()):
        draw_line(ax, sweep.steps, finite_ends(values), name, place, look)
    ax.set_ylabel(quantity.replace("_", " "))
    label = "step" if sweep.numbered else "checkpoint"
    over_steps(ax, sweep.steps, label, log=quantity in LOGARITHMIC)
    if legend and lines:
        legend_beside(ax, by_end=True)
    return ax


def finite_ends(values: Sequence[Known]) -> list[tuple[float, float]]:
    """Both ends, NaN where an axis has no place for one."""

    def placed(end: float) -> float:
        return end if math.isfinite(end) else math.nan

    return [(placed(lower), placed(upper)) for lower, upper in map(ends, values)]
