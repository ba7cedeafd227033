"""The Lipschitz constant of a network: what each method makes of its upper end."""

from __future__ import annotations

import math

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from convspec.arguments import shown
from convspec.isolation import isolated
from convspec.network.result import NetworkBound, Step
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
from convspec.plot.palette import ENCLOSED, EXACT
from convspec.quantity.decimals import rounded_down, rounded_up
from convspec.report.print import printable

__all__ = ["lipschitz"]

ROW_INCHES = 0.24
REASON_LETTERS = 46
NARROW = 3.5  # inches of axes that have room for one column of words
LEAST = 1e-307  # of an axis
ROOM = 0.12  # of the range, at either side
LABEL_DIGITS = 4
LIGHT = "#7FB8D8"  # of ends that others undercut


@isolated
def lipschitz(bound: NetworkBound, *, ax: Axes | None = None) -> Axes:
    """One row per method, in the order of trying: its upper end, pointing left.

    The band through all rows is where the constant is: from the ratio that a pair of
    inputs attains, a line pointing right, to the least upper end, which is the dark one.
    Where no pair was searched there is no band. Rows of methods that do not apply are
    grey and say why.

    Args:
        bound: What ``convspec.lipschitz`` or ``convspec.verify`` gives.
        ax: Axes to draw on.

    Raises:
        TypeError: Of anything else.
    """
    if not isinstance(bound, NetworkBound):
        raise TypeError(
            f"lipschitz draws a NetworkBound; got {shown(bound)}; pass what "
            "convspec.lipschitz(model, input_shape) gives"
        )
    ax = axes_or_new(ax, height=1.2 + ROW_INCHES * len(bound.steps))
    ax.set_xscale("log")
    ax.set_xlim(*_ends(bound))
    for place, step in enumerate(bound.steps):
        _row(ax, place, step, step is bound.best)
    _lower(ax, bound)
    ax.set_ylim(len(bound.steps) - 0.4, -0.6)
    ax.set_yticks(range(len(bound.steps)), [step.name for step in bound.steps])
    for tick, step in zip(ax.get_yticklabels(), bound.steps, strict=True):
        tick.set_color("black" if math.isfinite(step.upper) else "0.6")
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("Lipschitz constant $L$")
    plain_log_ticks(ax.xaxis, *ax.get_xlim())
    finish(ax, grid="x", left=False)
    _legend(ax, bound)
    return ax


def _ends(bound: NetworkBound) -> tuple[float, float]:
    """Of the axis: room at both sides of all numbers."""
    numbers = [bound.lower, *(step.upper for step in bound.steps)]
    known = [each for each in numbers if LEAST < each < HIGHEST]
    low, high = min(known, default=0.5), max(known, default=2.0)
    room = max(ROOM * (math.log(high) - math.log(low)), 0.05)
    left = math.exp(max(math.log(low) - room, math.log(LEAST)))
    right = math.exp(min(math.log(high) + room, math.log(HIGHEST)))
    return left, right


def _row(ax: Axes, place: int, step: Step, best: bool) -> None:
    """A bar with its number at the right, or why there is none."""
    small = points(0.8)
    across = ax.get_yaxis_transform()
    if not math.isfinite(step.upper):
        ax.axhspan(place - 0.5, place + 0.5, color="0.96", zorder=1.2)
        ax.text(
            0.01, place, _shortened(step.words), transform=across, color="0.5",
            style="italic", fontsize=small, va="center", parse_math=False,
        )  # fmt: skip
        return
    color = EXACT if best else LIGHT
    # the constant is somewhere to the left
    ax.plot([ax.get_xlim()[0], step.upper], [place] * 2, "-", color=color, linewidth=1.2)
    ax.plot(
        [step.upper], [place], marker="<", linestyle="", color=color,
        markersize=points(0.75 if best else 0.6),
    )  # fmt: skip
    words = rounded_up(step.upper, LABEL_DIGITS, zeros=True)
    ax.text(
        1.01, place, f"\u2264 {words}", transform=across, fontsize=small, va="center",
        color="black" if best else "0.3", weight="bold" if best else "normal",
    )  # fmt: skip


def _lower(ax: Axes, bound: NetworkBound) -> None:
    """What a pair of inputs attains, and the band from there to the least upper end."""
    left, right = ax.get_xlim()
    if not left < bound.lower < right:
        return
    ax.axvspan(
        bound.lower, min(bound.upper, right), facecolor=(ENCLOSED, 0.35), zorder=0.5
    )
    ax.axvline(bound.lower, color=ENCLOSED, linewidth=1.2, zorder=1.1)
    ax.plot(
        [bound.lower], [len(bound.steps) - 0.55], marker=">", linestyle="",
        color=ENCLOSED, markersize=points(0.6), zorder=2.5, clip_on=False,
    )  # fmt: skip


def _legend(ax: Axes, bound: NetworkBound) -> None:
    """Below the axes: what bars and the band are."""
    most = rounded_up(bound.upper, DIGITS)
    handles: list[Artist] = []
    if math.isfinite(bound.upper):
        words = f"certified: L \u2264 {most}"
        handles.append(Line2D([], [], color=EXACT, marker="<", label=words))
    left, right = ax.get_xlim()
    if left < bound.lower < right:
        least = rounded_down(bound.lower, DIGITS)
        handles.append(
            Line2D(
                [], [], color=ENCLOSED, marker=">", label=f"two inputs: L \u2265 {least}"
            )
        )
    if handles:
        wide = inches(ax)[0] > NARROW
        legend_below(ax, handles=handles, ncols=2 if wide else 1, columnspacing=1.0)


def _shortened(words: str) -> str:
    """The reason, cut at a word where it is long."""
    clause = printable(words.removeprefix("does not apply: ").split(";")[0])
    if len(clause) <= REASON_LETTERS:
        return clause
    return clause[:REASON_LETTERS].rsplit(" ", 1)[0] + " \u2026"
