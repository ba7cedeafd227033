"""A network at a glance: the singular values of every layer, one row each."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation

from convspec.arguments import shown
from convspec.isolation import isolated
from convspec.plot.canvas import (
    HIGHEST,
    axes_or_new,
    finish,
    inches,
    legend_below,
    plain_log_ticks,
    points,
)
from convspec.plot.known import (
    Bands,
    norm_ends,
    norm_words,
    quantile_bands,
    reason_for_no_bands,
    visible_worst_case,
)
from convspec.plot.palette import ENCLOSED, EXACT
from convspec.report import LayerReport, ModelReport

__all__ = ["layers"]

# rows are cut this far below the largest value, so that one tiny value hides no other
DECADES = 4
ROW_INCHES = 0.13
ROOMY = 3.5  # inches of axes with room for more than a word
POINTS_PER_INCH = 72
GAP_POINTS = 5  # between a norm and its number
CHARACTER = 0.7  # width of bold ones, relative to their size
LAID_OUT = 0.7  # of the width of the axes is left, about, once names have their room
TOLD = 1.25  # what the quartiles must cut of the bar of all values, to be drawn
LEAST_POINTS = 3.5  # smaller text is left out rather than printed


@isolated
def layers(
    report: ModelReport,
    *,
    ax: Axes | None = None,
    offenders: int = 3,
    geometry: bool = True,
    worst_case: bool = True,
) -> Axes:
    """One row per layer: the range of its singular values, quartiles, median and norm.

    Exact spectra are blue: a light bar from the smallest to the largest value, a dark
    one over the middle half, a white line at the median. Enclosed ones are orange and
    hatched: all values lie within the light bar, the quartiles (and all between them)
    within the dark one, which is missing where it would be nearly the light one.
    The norm is a dot, or a bracket from its certified lower to its upper end; an open
    diamond is the certified worst case over input sizes. What goes on below the axis, to
    small values or to zeros, runs to the axis's left end and into an arrow. Numerical
    zeros, values of at most ``max(m, n) eps sigma_1``, are among all the values and
    counted at the right.

    Args:
        report: The model's report.
        ax: Axes to draw on. Text adapts to their height: row names are set smaller, and
            where even that does not do, some are left out.
        offenders: How many of the largest norms (their upper ends) are written out.
        geometry: Whether the layer's geometry stands at the right of its row, without
            what else of the model is part of it.
        worst_case: Whether worst cases are shown, where known.

    Raises:
        TypeError: For data of any other type.
    """
    if not isinstance(report, ModelReport):
        raise TypeError(
            f"layers draws a ModelReport; got {shown(report)}; pass what "
            "convspec.analyze gives, and several of them to plot.training"
        )
    rows = list(report)
    ax = axes_or_new(ax, width=7.0, height=1.9 + ROW_INCHES * max(len(rows), 6))
    bands = [quantile_bands(layer) for layer in rows]
    size = min(points(0.8), 0.95 * POINTS_PER_INCH * inches(ax)[1] / max(1, len(rows)))
    every = max(1, math.ceil(LEAST_POINTS / size))
    size = max(size, LEAST_POINTS)
    worst = _largest(rows, offenders)
    low, high = _limits(rows, bands, worst_case)
    for place in worst:
        high = max(high, _room(ax, rows[place], low, size, worst_case))
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    named = _named(len(rows), every, worst)
    ax.set_yticks(named, [rows[place].name for place in named], fontsize=size)
    for place, (layer, known) in enumerate(zip(rows, bands, strict=True)):
        _row(ax, place, layer, known, low, size)
        _norm(ax, place, layer, size, place in worst, worst_case)
        if place in named:
            # what else of the model is part of it, in brackets, has no room here
            kernel = layer.geometry.partition(" (")[0]
            words = [kernel] * geometry + _zeros(ax, known)
            _beside(ax, 1.01, place, ", ".join(words), min(size, points(0.7)))
    cut = _cut(bands, low)
    ax.tick_params(axis="y", length=0, pad=4 + 0.8 * size * cut)  # beside the arrows
    plain_log_ticks(ax.xaxis, low, high)
    ax.set_xlabel("singular value")
    finish(ax, grid="x", left=False)
    _legend(ax, rows, bands, worst_case)
    return ax


def _zeros(ax: Axes, known: Bands | None) -> list[str]:
    """The count of numerical zeros, where there are any."""
    if known is None or not known.zeros:
        return []
    kind = "numerical zero" if inches(ax)[0] > ROOMY else "zero"
    return [f"{known.zeros:,} {kind}{'s' * (known.zeros > 1)}"]


def _limits(
    rows: list[LayerReport], bands: list[Bands | None], worst_case: bool
) -> tuple[float, float]:
    """Of the axis: everything large, and small values for some decades."""
    tops = [ends[1] for layer in rows if (ends := norm_ends(layer)) and ends[1] > 0]
    if worst_case:
        tops += [worst for layer in rows if (worst := visible_worst_case(layer)) > 0]
    top = max(tops, default=1.0)
    lows = [known.least for known in bands if known]
    lows += [ends[0] for layer in rows if (ends := norm_ends(layer)) and ends[0] > 0]
    finite = [x for x in lows if x < math.inf]
    # bands without a finite norm have their own ends
    highs = [x for known in bands if known for x in known.high if x < math.inf]
    top = top if tops else max(highs, default=1.0)
    low = max(top / 10**DECADES, 0.5 * min(finite, default=0.1 * top))
    return min(low, 0.5 * top), min(2.5 * top, HIGHEST)


def _room(
    ax: Axes, layer: LayerReport, low: float, size: float, worst_case: bool
) -> float:
    """The axis's right end that leaves room for the number after a norm."""
    ends = norm_ends(layer)
    if ends is None:
        return 0.0
    width = LAID_OUT * POINTS_PER_INCH * inches(ax)[0]
    words = GAP_POINTS + CHARACTER * size * len(norm_words(*ends))
    right = max(ends[1], visible_worst_case(layer) if worst_case else 0)
    part = max(0.6, 1 - words / width)  # of the width, before the number
    log = math.log(low) + math.log(right / low) / part
    return math.exp(log) if log < math.log(HIGHEST) else HIGHEST


def _cut(bands: list[Bands | None], floor: float) -> bool:
    """Whether values of any row go on below the axis."""
    return any(known is not None and known.low[0] < floor for known in bands)


def _largest(rows: list[LayerReport], count: int) -> set[int]:
    """Places of the largest norms, by their upper ends."""
    known = [
        (ends[1], place)
        for place, layer in enumerate(rows)
        if (ends := norm_ends(layer)) and ends[1] > 0
    ]
    known.sort(key=lambda pair: (-pair[0], pair[1]))
    return {place for _, place in known[:count]}


def _named(count: int, every: int, worst: set[int]) -> list[int]:
    """Rows with room for their names: the worst offenders, then about every so many."""
    chosen: list[int] = []
    for place in (*sorted(worst), *range(0, count, every)):
        if all(abs(place - other) >= every for other in chosen):
            chosen.append(place)
    return sorted(chosen)


def _row(
    ax: Axes,
    place: int,
    layer: LayerReport,
    known: Bands | None,
    floor: float,
    size: float,
) -> None:
    if known is None:
        _beside(ax, 0.5, place, reason_for_no_bands(layer), size)
        return
    color = EXACT if known.exact else ENCLOSED
    end = ax.get_xlim()[1]
    outer = max(known.low[0], floor), min(known.high[-1], end)
    inner = max(known.low[1], floor), min(known.high[3], end)
    hatch = None if known.exact else "//////"
    look: dict[str, Any] = {"edgecolor": color, "hatch": hatch, "linewidth": 0.0}
    bars = [(outer, 0.3), (inner, 1.0)] if _is_told(known, floor, end) else [(outer, 0.3)]
    for (left, right), shade in bars:
        if right > left or known.exact:
            ax.barh(
                place, max(right, left) - left, left=left, height=0.55,
                facecolor=(color, shade),
                **(look if shade < 1 else {"linewidth": 0.0}),
            )  # fmt: skip
    if known.exact and known.low[2] >= floor:
        ax.plot([known.low[2]], [place], color="white", marker="|", markersize=size)
    inch = ax.figure.dpi_scale_trans
    for goes_on, x, marker, side in (
        (known.low[0] < floor, floor, "<", -1),
        (known.high[-1] > end, end, ">", 1),
    ):
        if goes_on:
            beside = ScaledTranslation(side * 0.4 * size / POINTS_PER_INCH, 0, inch)
            ax.plot(
                [x], [place], color=color, marker=marker, markersize=0.6 * size,
                clip_on=False, transform=ax.transData + beside,
            )  # fmt: skip


def _is_told(known: Bands, floor: float, end: float) -> bool:
    """Whether the middle half is told from all values, on this axis."""
    if known.exact:
        return True
    ends = (known.low[0], known.high[-1]), (known.low[1], known.high[3])
    outer, inner = (
        max(min(high, end), floor) / max(min(low, end), floor) for low, high in ends
    )
    return outer > TOLD * inner


def _norm(
    ax: Axes,
    place: int,
    layer: LayerReport,
    size: float,
    written: bool,
    worst_case: bool,
) -> None:
    """The norm as a dot or a bracket; its number for the worst offenders."""
    ends = norm_ends(layer)
    if ends is None or ends[1] == 0:
        return
    low, high = ends
    right = high
    if low == high:
        ax.plot([high], [place], color="black", marker=".", markersize=0.8 * size)
    else:
        shown = max(low, ax.get_xlim()[0])
        ax.plot(
            [shown, high], [place, place], color="black", linestyle="-", linewidth=1.0,
            marker="|", markersize=0.8 * size,
        )  # fmt: skip
    if worst_case and visible_worst_case(layer) > 0:
        right = max(right, visible_worst_case(layer))
        ax.plot(
            [visible_worst_case(layer)], [place], color="black", marker="D", linestyle="",
            markerfacecolor="none", markersize=0.55 * size, markeredgewidth=0.6,
        )  # fmt: skip
    if written:
        words = norm_words(low, high)
        ax.annotate(
            words, (right, place), (GAP_POINTS, 0), textcoords="offset points",
            fontsize=size, va="center", weight="bold",
        )  # fmt: skip


def _beside(ax: Axes, x: float, place: int, words: str, size: float) -> None:
    """Text placed by the fraction of the width, on a row."""
    ax.text(
        x, place, words, transform=ax.get_yaxis_transform(), color="0.35",
        fontsize=size, va="center",
    )  # fmt: skip


def _legend(
    ax: Axes, rows: list[LayerReport], bands: list[Bands | None], worst_case: bool
) -> None:
    """The legend below the axes, of the marks that were drawn."""
    handles: list[Artist] = []
    if any(known is not None and known.exact for known in bands):
        handles += [
            Patch(facecolor=(EXACT, 0.3), label="all values, exact"),
            Patch(facecolor=EXACT, label="middle half, exact"),
        ]
    if any(known is not None and not known.exact for known in bands):
        handles.append(
            Patch(
                facecolor=(ENCLOSED, 0.3), edgecolor=ENCLOSED, hatch="//////",
                linewidth=0, label="all values lie within",
            )
        )  # fmt: skip
        enclosed = [known for known in bands if known is not None and not known.exact]
        if any(_is_told(known, *ax.get_xlim()) for known in enclosed):
            handles.append(Patch(facecolor=ENCLOSED, label="middle half lies within"))
    ends = [found for layer in rows if (found := norm_ends(layer)) and found[1] > 0]
    if any(low == high for low, high in ends):
        handles.append(Line2D([], [], color="black", marker=".", ls="", label="norm"))
    if any(low < high for low, high in ends):
        handles.append(
            Line2D([], [], color="black", marker="|", label="norm, certified ends")
        )
    if worst_case and any(visible_worst_case(layer) > 0 for layer in rows):
        handles.append(
            Line2D(
                [], [], color="black", marker="D", ls="", markerfacecolor="none",
                markersize=4, label="worst case over sizes, certified",
            )
        )  # fmt: skip
    if _cut(bands, ax.get_xlim()[0]):
        handles.append(
            Line2D([], [], color="0.3", marker="<", ls="", label="goes on below the axis")
        )
    roomy = inches(ax)[0] > ROOMY
    if roomy and any(known is not None and known.zeros for known in bands):
        words = "numerical zero: at most max(m, n) \u03b5 \u03c3\u2081"
        handles.append(Line2D([], [], ls="", label=words))
    if handles:
        legend_below(ax, handles=handles, ncols=3 if roomy else 2, fontsize=points(0.8))
