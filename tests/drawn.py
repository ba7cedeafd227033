"""What the tests of pictures share: small results, and reading artists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

import convspec as cs
from convspec.quantity.enclosure import Enclosure


def made_up(values: Sequence[float], rows: int | None = None, **more: Any) -> cs.Spectrum:
    """A spectrum of these values."""
    shape = (rows or len(values), len(values))
    options = {"error": 0.0, "shape": shape, "method": "dense"} | more
    return cs.Spectrum(np.array(values, dtype=float), **options)


def made_up_band(lower: Sequence[float], upper: Sequence[float]) -> cs.Envelope:
    """An envelope of these bounds."""
    low, high = np.array(lower, dtype=float), np.array(upper, dtype=float)
    source = np.zeros(len(low), dtype=np.int64)
    return cs.Envelope(
        low,
        high,
        (len(low), len(low)),
        ("given",),
        source,
        source,
        Enclosure(float(np.linalg.norm(low)), float(np.linalg.norm(high))),
        (1, 1),
    )


def legend(ax: Axes) -> list[str]:
    """The entries of the legend."""
    found = ax.get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def lines(ax: Axes) -> list[Line2D]:
    """Lines that show data: those in data coordinates with a visible style."""
    return [x for x in ax.lines if x.get_transform() == ax.transData]


def strips(ax: Axes) -> list[Line2D]:
    """The strips that mark numerical zeros."""
    return [x for x in ax.lines if x.get_gid() == "numerical zeros"]


def polygons(ax: Axes) -> list[Any]:
    """Vertices of filled bands, (points, 2)."""
    return [path.vertices for area in ax.collections for path in area.get_paths()]
