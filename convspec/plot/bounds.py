"""The ladder of bounds: every bound on sigma_1 with its side, around the enclosure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from convspec.arguments import shown
from convspec.errors import NotApplicable
from convspec.isolation import isolated
from convspec.operators.operator import ConvOperator
from convspec.plot.canvas import (
    DIGITS,
    HIGHEST,
    axes_or_new,
    finish,
    inches,
    legend_below,
    plain_log_ticks,
    points,
)
from convspec.plot.palette import ENCLOSED, EXACT, QUIET
from convspec.quantity.bound import Bound
from convspec.quantity.decimals import rounded_down, rounded_up

__all__ = ["bounds"]

ROW_INCHES = 0.19
REASON_LETTERS = 46
LEAST = 1e-307  # of an axis
NARROW = 3.0  # inches of axes that have room for one column of words
# colour, markers of upper and lower ends, and words, by guarantee
LOOKS: dict[str, tuple[str, str, str]] = {
    "certified": (EXACT, "<>", "certified"),
    "probabilistic": ("#D55E00", "<>", "with probability"),
    "estimate": (QUIET, "34", "no guarantee"),
}


@isolated
def bounds(
    table: Sequence[Bound | NotApplicable],
    *,
    ax: Axes | None = None,
    truth: Bound | None = None,
    sort: bool = True,
    reasons: bool = True,
    **kwargs: Any,
) -> Axes:
    """One row per bound: an upper one points left, a lower one right, both are a bar.

    The enclosure of sigma_1 is a band through all rows; where it is thinner than a line
    the legend says how thin. Given the truth, at the right stands how much an upper bound
    exceeds it, and of a lower one how much it attains. Rows of bounds that do not apply
    are grey and say why. Filled markers are certified, hollow ones hold with a
    probability or have no guarantee.

    Args:
        table: ``convspec.bounds.table(op)``, or any of its members.
        ax: Axes to draw on.
        truth: The enclosure, such as ``spectral_norm(op)``; by default the
            tightest ends in the table: certified ones, and from below also those of
            probabilistic bounds, whose lower ends are certified.
        sort: Whether to order by upper ends, the loosest on top, bounds from below last;
            otherwise the order is the table's.
        reasons: Whether inapplicable rows say why, in a few words.
        **kwargs: For the markers, ``Axes.plot``.

    Raises:
        TypeError: Of an operator.
        ValueError: Without any bound, or of others than bounds.
    """
    if isinstance(table, ConvOperator):
        raise TypeError(
            "bounds draws a table of bounds; got a ConvOperator; pass "
            "convspec.bounds.table(op)"
        )
    rows = list(table)
    if not rows or not all(isinstance(row, Bound | NotApplicable) for row in rows):
        raise ValueError(
            "bounds must be given as convspec.bounds.table(op) or several of its "
            f"members; got {shown(table)}"
        )
    if sort:
        rows.sort(key=_order)
    known = [row for row in rows if isinstance(row, Bound)]
    ends = (truth.lower, truth.upper) if truth is not None else _tightest(known)
    ax = axes_or_new(ax, height=1.1 + ROW_INCHES * len(rows))
    finite = [x for b in known for x in (b.lower, b.upper) if 0 < x < math.inf]
    finite += [x for x in ends if 0 < x < math.inf]
    low, high = min(finite, default=0.5), max(finite, default=2.0)
    with np.errstate(over="ignore", under="ignore"):
        room = max(float(np.exp(0.08 * (math.log(high) - math.log(low)))), 1.05**0.08)
        left, right = max(low / room, LEAST), min(high * room, HIGHEST)
    ax.set_xscale("log")
    ax.set_xlim(min(left, low), max(right, high))
    for place, row in enumerate(rows):
        _row(ax, place, row, None if truth is None else ends, reasons, kwargs)
    _band(ax, ends)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_yticks(range(len(rows)), [row.name for row in rows])
    for tick, row in zip(ax.get_yticklabels(), rows, strict=True):
        tick.set_color("0.6" if isinstance(row, NotApplicable) else "black")
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("bound on $\\sigma_1$")
    plain_log_ticks(ax.xaxis, low, high)
    finish(ax, grid="x", left=False)
    _legend(ax, known, ends, truth)
    return ax


def _order(row: Bound | NotApplicable) -> tuple[int, float]:
    """Upper bounds from the loosest down, lower ones up to the tightest, the rest."""
    if isinstance(row, NotApplicable):
        return 2, 0.0
    if math.isfinite(row.upper):
        return 0, -row.upper
    return 1, -row.lower


def _tightest(known: list[Bound]) -> tuple[float, float]:
    """The best certified ends; 0 or inf without any.

    The probability of a probabilistic bound concerns its upper end: its lower one is a
    norm that some vector attains, ``||A v|| / ||v||``, certified.
    """
    promised = [bound for bound in known if bound.guarantee != "estimate"]
    certified = [bound for bound in promised if bound.guarantee == "certified"]
    lower = max((bound.lower for bound in promised), default=0.0)
    return lower, min((bound.upper for bound in certified), default=math.inf)


def _row(
    ax: Axes,
    place: int,
    row: Bound | NotApplicable,
    ends: tuple[float, float] | None,
    reasons: bool,
    look: dict[str, Any],
) -> None:
    small: dict[str, Any] = {"fontsize": points(0.8), "va": "center"}
    across = ax.get_yaxis_transform()
    if isinstance(row, NotApplicable):
        ax.axhspan(place - 0.5, place + 0.5, color="0.96", zorder=0.8)
        reason = _shortened(str(row).removeprefix(f"{row.name} "))
        words = f"n/a: {reason}" if reasons else "n/a"
        ax.text(
            0.01, place, words, transform=across, color="0.5", style="italic", **small
        )
        return
    color, marks, _ = LOOKS[row.guarantee]
    options: dict[str, Any] = {
        "color": color,
        "markerfacecolor": color if row.guarantee == "certified" else "white",
        "linestyle": "",
        "markersize": 5.0 if row.guarantee != "estimate" else 8.0,
        **look,
    }
    upper, lower = math.isfinite(row.upper), row.lower > 0
    if upper and lower:
        ax.plot([row.lower, row.upper], [place] * 2, "-", color=color, linewidth=1.5)
    elif upper:  # the truth is somewhere to the left
        ax.plot([ax.get_xlim()[0], row.upper], [place] * 2, "-", color=color, alpha=0.25)
    if upper:
        ax.plot([row.upper], [place], marker=marks[0], **options)
    if lower:
        ax.plot([row.lower], [place], marker=marks[1], **options)
    text = "" if ends is None else _ratio(row, ends)
    if text:
        ax.text(1.01, place, text, transform=across, color="0.3", **small)


def _ratio(row: Bound, ends: tuple[float, float]) -> str:
    """An upper end over that of the enclosure; else a lower one over its lower end."""
    if math.isfinite(row.upper) and 0 < ends[1] < math.inf:
        return f"\u00d7{row.upper / ends[1]:.4g}"
    if row.lower > 0 and ends[0] > 0:
        return f"\u00d7{row.lower / ends[0]:.4g}"
    return ""


def _band(ax: Axes, ends: tuple[float, float]) -> None:
    """The enclosure through all rows, at least a line."""
    lower, upper = ends
    if not 0 < upper < math.inf:
        return
    left = max(lower, ax.get_xlim()[0])
    ax.axvspan(left, upper, facecolor=(ENCLOSED, 0.35), edgecolor=ENCLOSED, zorder=0.5)


def _legend(
    ax: Axes, known: list[Bound], ends: tuple[float, float], truth: Bound | None
) -> None:
    """Below the axes: what markers and the band mean."""
    handles: list[Artist] = []
    for guarantee, (color, marks, words) in LOOKS.items():
        if any(bound.guarantee == guarantee for bound in known):
            face = color if guarantee == "certified" else "white"
            handles.append(
                Line2D([], [], color=color, markerfacecolor=face, marker=marks[0],
                       linestyle="", label=words)
            )  # fmt: skip
    if 0 < ends[1] < math.inf:
        words = _enclosure(ends, "tightest" if truth is None else truth.name)
        handles.append(Patch(facecolor=(ENCLOSED, 0.35), edgecolor=ENCLOSED, label=words))
    if not handles:
        return
    legend_below(
        ax,
        handles=handles,
        ncols=2 if inches(ax)[0] > NARROW else 1,
        columnspacing=1.0,
        handletextpad=0.4,
    )


def _enclosure(ends: tuple[float, float], source: str) -> str:
    gap = (ends[1] - ends[0]) / ends[0] if ends[0] > 0 else math.inf
    least, most = rounded_down(ends[0], DIGITS), rounded_up(ends[1], DIGITS)
    if gap < 0.01:
        return f"{source}: \u03c3\u2081 \u2264 {most}, gap {gap:.0e}"
    return f"{source}: {least} \u2264 \u03c3\u2081 \u2264 {most}"


def _shortened(words: str) -> str:
    """The first clause of a reason, cut at a word where it is long."""
    clause = words.split(";")[0]
    if len(clause) <= REASON_LETTERS:
        return clause
    return clause[:REASON_LETTERS].rsplit(" ", 1)[0] + " \u2026"
