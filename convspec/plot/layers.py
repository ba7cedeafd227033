"""A network at a glance: the singular values of every layer, one row each."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from convspec.plot.palette import EXACT, STAND_IN, axes_or_new
from convspec.report import LayerReport, ModelReport
from convspec.spectrum import Spectrum

__all__ = ["layers"]

# rows are cut this far below the largest value, so that one tiny value hides no other
DECADES = 5


def layers(report: ModelReport, *, ax: Axes | None = None) -> Axes:
    """One row per layer: the range of its singular values, quartiles, median and norm.

    Exact spectra are blue. Where only the circular one of the same kernel is known, the
    row is orange and hatched: another operator. Numerical zeros are left out of the
    range and their number is written beside the norm. Ranges that go on below the axis
    end in an arrow; each row ends in the layer's geometry.

    Args:
        report: The model's report.
        ax: Axes to draw on.
    """
    count = len(report)
    ax = axes_or_new(ax, (7.2, 1.2 + 0.17 * max(count, 6)))
    known = [spec for layer in report if (spec := _shown(layer)) and spec.norm > 0]
    top = max((spec.norm for spec in known), default=1.0)
    lows = [float(spec.values[spec.rank() - 1]) for spec in known]
    floor = max(top / 10**DECADES, 0.5 * min(lows, default=0.1 * top))
    for row, layer in enumerate(report):
        _row(ax, row, layer, floor)
        ax.text(1.0, row, layer.geometry, color="0.45", **_beside(ax))
    ax.set_xscale("log")
    ax.set_xlim(floor, 3 * top)
    ax.set_ylim(count - 0.4, -0.6)
    ax.set_yticks(range(count), [layer.name for layer in report], fontsize=6)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("singular value")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.grid(axis="x", color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    _legend(ax, report)
    return ax


def _shown(layer: LayerReport) -> Spectrum | None:
    return layer.spectrum if layer.spectrum is not None else layer.circular


def _row(ax: Axes, row: int, layer: LayerReport, floor: float) -> None:
    spec = _shown(layer)
    if spec is None or spec.norm == 0:
        words = "no exact spectrum" if spec is None else "zero operator"
        ax.text(0.5, row, words, color="0.45", **_beside(ax))
        return
    color, hatch = (EXACT, None) if layer.spectrum is not None else (STAND_IN, "//////")
    rank = spec.rank()
    low, first, median, third, high = np.quantile(
        spec.values[:rank], (0, 0.25, 0.5, 0.75, 1)
    )
    left = max(low, floor)
    ax.barh(
        row,
        high - left,
        left=left,
        height=0.5,
        facecolor=(color, 0.3),
        edgecolor=color,
        hatch=hatch,
        linewidth=0,
    )
    ax.barh(row, third - first, left=first, height=0.5, color=color)
    ax.plot([median], [row], color="white", marker="|", markersize=5)
    ax.plot([high], [row], color="0.2", marker=".", markersize=4)
    if low < floor:
        ax.plot([floor], [row], color=color, marker="<", markersize=5, clip_on=False)
    zeros = len(spec.values) - rank
    if zeros:
        ax.annotate(
            f"{zeros:,} numerical zeros",
            (high, row),
            xytext=(5, 0),
            textcoords="offset points",
            fontsize=5,
            va="center",
            color="0.3",
        )


def _beside(ax: Axes) -> dict[str, Any]:
    """Small text placed by the fraction of the width, on a row."""
    return {"transform": ax.get_yaxis_transform(), "fontsize": 5, "va": "center"}


def _legend(ax: Axes, report: ModelReport) -> None:
    handles: list[Artist] = [Patch(color=EXACT, alpha=0.4, label="exact")]
    if any(layer.circular is not None for layer in report):
        handles.append(
            Patch(
                facecolor=(STAND_IN, 0.3),
                edgecolor=STAND_IN,
                hatch="//////",
                linewidth=0,
                label="circular kernel instead: another operator",
            )
        )
    handles += [
        Patch(color=EXACT, label="middle half"),
        Line2D([], [], color="0.2", marker=".", linestyle="", label="norm"),
    ]
    inches = ax.get_window_extent().height / ax.figure.dpi
    ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.5 / inches),
        ncols=4,
        frameon=False,
        fontsize=7,
    )
