"""Singular values of one or several operators on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from convspec.isolation import isolated
from convspec.plot.canvas import axes_or_new, finish, logarithmic, plain_log_ticks
from convspec.plot.curves import Curve, Spectral, curve_of
from convspec.plot.palette import CYCLE, ENCLOSED, ESTIMATED, EXACT
from convspec.quantity.decimals import rounded_down, rounded_up
from convspec.spectrum import Envelope, Spectrum

__all__ = ["compare", "envelope", "spectrum"]

COLORS = {"exact": EXACT, "enclosure": ENCLOSED, "estimate": ESTIMATED}
STYLES = {"exact": "-", "enclosure": "-", "estimate": "-."}
ZEROS = "numerical zeros"  # the gid of the strips that mark them
# the least height of a logarithmic axis, in decades
LEAST_DECADES = 0.5
# what a band whose lower end is 0 reaches down to, relative to the axis' foot
BELOW = 1e-30


@isolated
def spectrum(
    spec: Spectral,
    *,
    ax: Axes | None = None,
    label: str | None = None,
    annotate: bool = False,
    errors: float = 2.0,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Singular values in descending order over the fraction i / min(m, n) of their index.

    Exact values are a solid line (few of them points), certified enclosures a hatched
    band without a line, estimates a dash-dotted line in a band of standard errors; the
    legend says which it is. Numerical zeros, by the rank tolerance, have no place on a
    logarithmic axis: a dotted strip at its foot marks where they lie. More than 2,000
    values are thinned out, bands outward, so that they hold all the same.

    Args:
        spec: A :class:`Spectrum`, complete or not, an :class:`Envelope`, or a
            :class:`Density`.
        ax: Axes to draw on.
        label: Name in the legend.
        annotate: Whether the legend says rank and condition number, or bounds on them;
            only of what states them: complete spectra and envelopes.
        errors: Half the height of an estimate's band, in standard errors.
        legend: Whether to draw the legend.
        **kwargs: For the lines, ``Axes.plot``; their colour serves for bands too.

    Raises:
        TypeError: For data of any other type.
    """
    curve = curve_of(spec, errors)
    ax = axes_or_new(ax)
    name = curve.words if label is None else f"{label}: {curve.words}"
    if annotate:
        name += _said(spec)
    total = f"{curve.total:,}"
    _draw(ax, curve, name, kwargs)
    _frame(ax, total)
    if legend:
        ax.legend(loc="best")
    return ax


@isolated
def envelope(
    band: Envelope,
    *,
    ax: Axes | None = None,
    truth: Spectral | None = None,
    label: str | None = None,
    annotate: bool = False,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Certified bounds on every singular value, as a band that holds them all.

    Args:
        band: The envelope.
        ax: Axes to draw on.
        truth: What else is known of the same operator, drawn over the band: its
            spectrum, the largest values by Krylov, or its density.
        label: Name in the legend.
        annotate: Whether the legend says the bounds on rank and condition number.
        legend: Whether to draw the legend.
        **kwargs: For the band's edges, ``Axes.plot``; their colour serves for it too.

    Raises:
        TypeError: If the first argument is no Envelope.
        ValueError: If the truth has not as many values as the band.
    """
    if not isinstance(band, Envelope):
        raise TypeError(
            f"envelope draws an Envelope; got {type(band).__name__}; "
            "call spectral_envelope(op), or draw it with plot.spectrum"
        )
    over = None if truth is None else curve_of(truth)
    if over is not None and over.total != len(band):
        raise ValueError(
            f"truth must be of the same operator, of {len(band):,} singular values; "
            f"got one of {over.total:,}"
        )
    alone = legend and truth is None
    ax = spectrum(band, ax=ax, label=label, annotate=annotate, legend=alone, **kwargs)
    if truth is not None:
        spectrum(truth, ax=ax, legend=legend, color="black", linewidth=1.0)
    return ax


@isolated
def compare(
    spectra: Mapping[str, Spectral],
    *,
    ax: Axes | None = None,
    annotate: bool = False,
    errors: float = 2.0,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Several spectra on one axis, in the mapping's order, with a legend.

    As fractions of their index layers of different sizes compare. Each has a colour and
    a line style of its own; enclosures are hatched bands and estimates have one too.

    Args:
        spectra: Label -> spectrum, envelope or density.
        ax: Axes to draw on.
        annotate: Whether the legend says rank and condition number.
        errors: Half the height of an estimate's band, in standard errors.
        legend: Whether to draw the legend.
        **kwargs: For the lines, ``Axes.plot``.

    Raises:
        ValueError: Without any spectrum.
        TypeError: For data of any other type.
    """
    if not isinstance(spectra, Mapping):
        raise TypeError(
            "compare draws a mapping from labels to spectra; got "
            f"{type(spectra).__name__}; pass {{'name': spectrum(op), ...}}"
        )
    if not spectra:
        raise ValueError("compare needs at least one spectrum; got none")
    curves = {label: curve_of(found, errors) for label, found in spectra.items()}
    ax = axes_or_new(ax)
    styles = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)))
    for place, (label, curve) in enumerate(curves.items()):
        look = {
            "color": CYCLE[place % len(CYCLE)],
            "linestyle": styles[place % len(styles)],
            **kwargs,
        }
        name = f"{label}: {curve.words}" + (_said(spectra[label]) if annotate else "")
        _draw(ax, curve, name, look)
    totals = {f"{curve.total:,}" for curve in curves.values()}
    _frame(ax, totals.pop() if len(totals) == 1 else "min(m, n)")
    if legend:
        ax.legend(loc="best")
    return ax


def _draw(ax: Axes, curve: Curve, name: str, look: dict[str, Any]) -> None:
    """The band, then the line, then the strip of zeros."""
    color = look.pop("color", None) or _free_color(ax, curve.kind)
    look.setdefault("linestyle", STYLES[curve.kind])
    if curve.low is not None and curve.high is not None:
        _band(ax, curve, color, name)
    if curve.middle is not None:
        if curve.marked:
            look = {"marker": "o", "markersize": 3.5, **look}
        ax.plot(curve.place, curve.middle, color=color, label=name, **look)
    if curve.zeros:
        _strip(ax, curve, color)


def _free_color(ax: Axes, kind: str) -> str:
    """The colour of this kind of curve, unless another curve has it."""
    taken = {line.get_color() for line in ax.lines}
    choices = (COLORS[kind], *CYCLE)
    return next((color for color in choices if color not in taken), COLORS[kind])


def _band(ax: Axes, curve: Curve, color: Any, name: str) -> None:
    low, high = curve.low, curve.high
    assert low is not None
    assert high is not None
    finite = np.where(np.isfinite(high), high, np.nan)
    positive = finite[finite > 0]
    floor = _floor(low, positive)
    inside = (finite > 0) & np.isfinite(high)
    low = np.where(inside, np.maximum(low, floor), np.nan)
    enclosure = curve.kind == "enclosure"
    area = ax.fill_between(
        curve.place,
        low,
        finite,
        where=inside,
        facecolor=(color, 0.25),
        edgecolor=color,
        hatch="//////" if enclosure else None,
        linewidth=0.0,
        label=name if enclosure else "_band",
    )
    if (low <= floor).any():  # it goes on below, however far other curves reach
        area.sticky_edges.y.append(floor)
        for path in area.get_paths():
            points = np.asarray(path.vertices)
            points[points[:, 1] <= floor, 1] = BELOW * floor
    if enclosure:  # edges as lines, whose colour the next curve avoids
        marker = "." if curve.marked else None
        ends = (np.where(low > floor, low, np.nan), finite)
        for end in ends:
            ax.plot(
                curve.place, end, color=color, linestyle="-", linewidth=0.8, marker=marker
            )


def _floor(low: Any, positive: Any) -> float:
    """Where a band ends whose lower end is 0."""
    least = [float(x[x > 0].min()) for x in (low, positive) if (x > 0).any()]
    return 0.3 * min(least, default=1.0)


def _strip(ax: Axes, curve: Curve, color: Any) -> None:
    """Where numerical zeros lie, at the foot of the axes, one strip above another."""
    level = sum(line.get_gid() == ZEROS for line in ax.lines)
    height = 0.015 + 0.03 * level
    start = 1 - curve.zeros / curve.total
    ax.plot(
        [start, 1],
        [height, height],
        transform=ax.get_xaxis_transform(),
        color=color,
        linestyle=(0, (0.6, 0.6)),
        linewidth=3.5,
        marker="|",
        markersize=6,
        gid=ZEROS,
        clip_on=False,
        label="_zeros",
    )


def _said(spec: Spectral) -> str:
    """Rank and condition number, in a line of their own."""
    if isinstance(spec, Spectrum) and spec.complete:
        words = f"rank {spec.rank():,} of {min(spec.shape):,}"
        return f"\n{words}, condition {spec.condition_number:.3g}"
    if isinstance(spec, Envelope):
        low, high = spec.rank()
        rank = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        least, most = spec.condition_number
        condition = f"{rounded_down(least, 3)} to {rounded_up(most, 3)}"
        return f"\nrank {rank} of {len(spec):,}, condition {condition}"
    return ""


def _frame(ax: Axes, total: str) -> None:
    # a logarithmic axis has no place for zeros alone
    if any(_positive(line) for line in ax.lines) and not logarithmic(ax):
        low, high = ax.get_ylim()
        missing = LEAST_DECADES - np.log10(high / low)
        if missing > 0:  # more room, and the axis stays free to grow with other curves
            step = 10 ** (missing / 2)
            ax.update_datalim([(0.5, low / step), (0.5, high * step)])
            ax.autoscale_view(scalex=False)
        plain_log_ticks(ax.yaxis, *ax.get_ylim())
    before = ax.get_xlabel().removeprefix("index / ")
    ax.set_xlim(0, 1)
    ax.set_xlabel(f"index / {total if before in ('', total) else 'min(m, n)'}")
    ax.set_ylabel("singular value")
    finish(ax)


def _positive(line: Line2D) -> bool:
    """Whether a line has values, and not only a place in the axes."""
    if line.get_gid() == ZEROS:
        return False
    return bool((np.asarray(line.get_ydata(), dtype=float) > 0).any())
