"""The distribution of singular values, with its standard error."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes

from convspec.arguments import shown
from convspec.isolation import isolated
from convspec.plot.canvas import LARGE, axes_or_new, finish
from convspec.plot.palette import ESTIMATED
from convspec.spectrum import Density, Spectrum

__all__ = ["density"]

Kind = Literal["density", "counting"]
POINTS = 400
DECADES = 4


@isolated
def density(
    found: Density,
    *,
    ax: Axes | None = None,
    symbol: Density | None = None,
    truth: Spectrum | None = None,
    kind: Kind = "density",
    log: bool = False,
    width: float | None = None,
    errors: float = 2.0,
    label: str | None = None,
    **kwargs: Any,
) -> Axes:
    """How the singular values are distributed, in a band of standard errors.

    As a density, blurred by a Gaussian whose width the axis states; or as the number of
    values above t, which is not blurred.

    Args:
        found: The density, of ``spectral_density`` or ``symbol_density``.
        ax: Axes to draw on.
        symbol: The symbol's density, the limit of large inputs, for comparison: dashed.
        truth: The complete spectrum, drawn as a histogram or as the steps it counts in.
        kind: ``"density"`` or ``"counting"``.
        log: Whether the axis of singular values is logarithmic; densities are then per
            unit of ln t.
        width: Of the blur; see :meth:`Density.pdf`.
        errors: Half the height of the band, in standard errors.
        label: Name in the legend.
        **kwargs: For the line, ``Axes.plot``.

    Raises:
        TypeError: For data of other types.
        ValueError: For another kind, or if ``truth`` is incomplete.
    """
    _require(found, symbol, truth, kind)
    ax = axes_or_new(ax)
    largest = max(x.largest_node for x in (found, symbol) if x is not None) or 1.0
    t = np.linspace(0.0, 1.05 * largest, POINTS)
    if log:
        t = np.geomspace(largest / 10**DECADES, 1.3 * largest, POINTS)
    if width is None and kind == "density":
        width = _width(found, log)
    color = kwargs.pop("color", ESTIMATED)
    if truth is not None:
        _truth(ax, truth, kind, log, t)
    words = "symbol, limit of large inputs"
    name = words if found.method == "symbol" else f"estimate \u00b1 {errors:g} s.e."
    name = name if label is None else f"{label}: {name}"
    _curve(
        ax,
        found,
        kind,
        log,
        t,
        width,
        errors,
        {"color": color, "linestyle": "-", "label": name} | kwargs,
    )
    if symbol is not None:
        look = {"color": "black", "linestyle": "--", "linewidth": 1.0, "label": words}
        _curve(ax, symbol, kind, log, t, width, errors, look)
    _frame(ax, kind, log, t, width)
    return ax


def _require(found: Any, symbol: Any, truth: Any, kind: str) -> None:
    for name, given, wanted in (
        ("the data", found, Density),
        ("symbol", symbol, Density),
        ("truth", truth, Spectrum),
    ):
        if not isinstance(given, wanted) and (given is not None or name == "the data"):
            raise TypeError(
                f"{name} must be a {wanted.__name__}; got {type(given).__name__}; "
                "call spectral_density(op), symbol_density(op) or spectrum(op)"
            )
    for given in (found, symbol):
        if given is not None and not given.largest_node < LARGE:
            raise ValueError(
                "the density must be of values within float64, with room; some are "
                f"above {LARGE:g}; draw that of op.with_weight(op.weight / 2**100), "
                "whose values are 2**100 times smaller"
            )
    if truth is not None and not truth.complete:
        raise ValueError(
            f"truth must be a complete spectrum; got {shown(truth)}; "
            "call spectrum(op) with k=None"
        )
    if kind not in ("density", "counting"):
        raise ValueError(f"kind must be 'density' or 'counting'; got {shown(kind)}")


def _width(found: Density, log: bool) -> float:
    """What :meth:`Density.pdf` takes by default, of the one for both curves."""
    if log:
        return 2 / (60 if found.method == "symbol" else found.nodes.shape[1])
    return found.node_distance


def _curve(
    ax: Axes,
    found: Density,
    kind: Kind,
    log: bool,
    t: Any,
    width: float | None,
    errors: float,
    look: dict[str, Any],
) -> None:
    curve = found.counting(t) if kind == "counting" else found.pdf(t, width, log=log)
    spread = errors * curve.standard_error
    ax.plot(t, curve.value, **look)
    if found.method != "symbol":
        low = np.maximum(curve.value - spread, 0.0)
        high, shade = curve.value + spread, (look["color"], 0.3)
        ax.fill_between(t, low, high, facecolor=shade, linewidth=0.0)


def _truth(ax: Axes, truth: Spectrum, kind: Kind, log: bool, t: Any) -> None:
    values = truth.values
    name = f"exact: {len(values):,} values"
    if kind == "counting":
        counts = np.searchsorted(-values, -t, side="right")
        ax.step(
            t, counts, where="mid", color="0.75", linestyle="-", linewidth=3.5, label=name
        )
        return
    edges = np.geomspace(t[0], t[-1], 61) if log else np.linspace(t[0], t[-1], 61)
    widths = np.diff(np.log(edges)) if log else np.diff(edges)
    counts = np.histogram(values, edges)[0]
    ax.stairs(counts / (len(values) * widths), edges, fill=True, color="0.85", label=name)


def _frame(ax: Axes, kind: Kind, log: bool, t: Any, width: float | None) -> None:
    if log:
        ax.set_xscale("log")
    ax.set_xlim(t[0], t[-1])
    ax.set_ylim(bottom=0)
    ax.set_xlabel("singular value t")
    if kind == "counting":
        ax.set_ylabel("singular values \u2265 t")
    else:
        unit = "ln t" if log else "t"
        ax.set_ylabel(f"density per unit of {unit}\n(blur {width:.2g})")
    ax.legend(loc="best")
    finish(ax)
