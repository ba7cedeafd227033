"""Spectra over training: reports of one network at several checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from convspec.arguments import shown
from convspec.isolation import isolated
from convspec.plot.canvas import axes_or_new
from convspec.plot.evolution import LOGARITHMIC, draw_line, legend_beside, over_steps
from convspec.plot.palette import ENCLOSED, EXACT
from convspec.quantity.enclosure import Enclosure
from convspec.report import LayerReport, ModelReport
from convspec.report.quantities import QUANTITIES

__all__ = ["training"]

DISTRIBUTION = "distribution"
# pairs of quantiles, outermost first, and how dark the band between them is
QUANTILE_BANDS = ((0.0, 1.0, 0.15), (0.1, 0.9, 0.25), (0.25, 0.75, 0.35))  # they add up
DECADES = 4


@isolated
def training(
    reports: Sequence[ModelReport],
    *,
    ax: Axes | None = None,
    steps: Sequence[float] | None = None,
    quantity: str = "norm",
    layers: str | Sequence[str] | None = None,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """How a quantity of each layer, or one layer's whole distribution, evolves.

    A quantity is one line per layer; where it is enclosed and not exact a hatched band.
    The distribution is that of one layer: bands between quantiles (all, the middle 80 %
    and half), its median and its norm.

    Args:
        reports: One report per checkpoint, in order.
        ax: Axes to draw on.
        steps: Step, epoch or time of each report; 0, 1, 2, ... unless told.
        quantity: A quantity of the reports' rows, ``"norm"``, ``"stable_rank"``,
            ``"condition_number"``, ..., or ``"distribution"``.
        layers: Names of the layers, one or several; all of them unless told.
        legend: Whether to name the layers.
        **kwargs: For the lines, ``Axes.plot``.

    Raises:
        TypeError: For one report alone.
        ValueError: Without reports, if steps are not one each and increasing, for an
            unknown quantity, a layer that is not in every report, or a distribution of
            several layers.
    """
    given: object = reports
    if isinstance(given, ModelReport):
        raise TypeError(
            "training draws several reports, one per checkpoint; got one ModelReport; "
            "pass a list of them, or draw it by plot.layers"
        )
    reports = list(reports)
    at = _steps(reports, steps)
    names = _names(reports, layers)
    known = [DISTRIBUTION, *(q.name for q in QUANTITIES)]
    if quantity not in known:
        raise ValueError(
            f"quantity must be one of {', '.join(known)}; got {shown(quantity)}"
        )
    if quantity == DISTRIBUTION and len(names) != 1:
        raise ValueError(
            f"a distribution is one layer's; got {len(names)}; "
            f"give layers= one of {', '.join(names)}"
        )
    rows = {name: [report[name] for report in reports] for name in names}
    if quantity == DISTRIBUTION:
        _require_spectra(names[0], rows[names[0]])
    ax = axes_or_new(ax)
    if quantity == DISTRIBUTION:
        _distribution(ax, at, rows[names[0]], kwargs)
        ax.set_title(names[0])
        ax.set_ylabel("singular value")
    else:
        for place, name in enumerate(names):
            ends = [_ends(row, quantity) for row in rows[name]]
            draw_line(ax, at, ends, name, place, kwargs)
        ax.set_ylabel(quantity.replace("_", " "))
    over_steps(
        ax,
        at,
        "checkpoint" if steps is None else "step",
        log=quantity in {*LOGARITHMIC, DISTRIBUTION},
    )
    if legend:
        legend_beside(ax, by_end=quantity != DISTRIBUTION)
    return ax


def _steps(reports: list[ModelReport], steps: Sequence[float] | None) -> list[float]:
    if not reports:
        raise ValueError("training needs at least one report; got none")
    if any(not isinstance(report, ModelReport) for report in reports):
        raise ValueError(
            "training draws the reports of convspec.analyze; got "
            f"{', '.join(sorted({type(report).__name__ for report in reports}))}"
        )
    at = [float(x) for x in (range(len(reports)) if steps is None else steps)]
    if len(at) != len(reports) or any(b <= a for a, b in pairwise(at)):
        raise ValueError(
            f"steps must be {len(reports)} increasing numbers, one per report; "
            f"got {shown(steps)}"
        )
    return at


def _names(reports: list[ModelReport], wanted: str | Sequence[str] | None) -> list[str]:
    there = [layer.name for layer in reports[0]]
    names = there if wanted is None else [wanted] if isinstance(wanted, str) else wanted
    for place, report in enumerate(reports):
        missing = [name for name in names if name not in report]
        if missing:
            raise ValueError(
                f"every report must have the layers that are drawn; report {place} has "
                f"no {missing[0]!r}; there are: {', '.join(x.name for x in report)}"
            )
    if not names:
        raise ValueError("training needs at least one layer; the reports have none")
    return list(names)


def _require_spectra(name: str, rows: list[LayerReport]) -> None:
    for place, row in enumerate(rows):
        if row.spectrum is None and row.envelope is None:
            raise ValueError(
                f"a distribution takes a spectrum or an envelope of {name!r} in every "
                f"report; report {place} has neither: {row.reason}"
            )


def _ends(row: LayerReport, quantity: str) -> tuple[float, float]:
    found = row.quantities[quantity]
    if found is None:
        return np.nan, np.nan
    low, high = found if isinstance(found, Enclosure) else (found, found)
    return (low if np.isfinite(low) else np.nan), (high if np.isfinite(high) else np.nan)


def _distribution(
    ax: Axes, at: list[float], rows: list[LayerReport], look: dict[str, Any]
) -> None:
    exact = all(row.spectrum is not None for row in rows)
    color = EXACT if exact else ENCLOSED
    floor = _floor(rows)
    words, plural = ("", "") if exact else (" lies within", " lie within")
    for first, last, shade in QUANTILE_BANDS:
        share = f"{last - first:.0%}".replace("%", " %")
        ax.fill_between(
            at,
            [_at_least(_quantile(row, first, False), floor) for row in rows],
            [_at_least(_quantile(row, last, True), floor) for row in rows],
            facecolor=(color, shade),
            edgecolor=color,
            hatch=None if exact or first else "//////",
            linewidth=0.0,
            label=f"middle {share}{words}" if first else f"all values{plural}",
        )
    medians = [(_quantile(row, 0.5, False), _quantile(row, 0.5, True)) for row in rows]
    for end, label in ((1, "median"), (0, "_median")):
        values = np.array([pair[end] for pair in medians])
        ax.plot(
            at,
            np.where(values > floor, values, np.nan),
            color="black",
            linestyle="-",
            label=label,
        )
    options: dict[str, Any] = {"color": "black", "linestyle": "--", **look}
    ax.plot(at, [_ends(row, "norm")[1] for row in rows], label="norm", **options)
    ax.set_ylim(bottom=floor)
    if len(at) > 1:
        ax.set_xlim(at[0], at[-1])


def _quantile(row: LayerReport, level: float, upper: bool) -> float:
    if row.spectrum is not None:
        values = row.spectrum.values
    else:
        assert row.envelope is not None
        values = row.envelope.upper if upper else row.envelope.lower
    with np.errstate(invalid="ignore", over="ignore"):  # between infinities
        found = float(np.quantile(values, level))
    return found if math.isfinite(found) else math.nan  # has no place on an axis


def _at_least(value: float, floor: float) -> float:
    return value if math.isnan(value) else max(value, floor)


def _floor(rows: list[LayerReport]) -> float:
    """What is below is cut: numerical zeros, lower ends of 0."""
    ends = [(_quantile(row, 0.0, False), _quantile(row, 1.0, True)) for row in rows]
    top = max((high for _, high in ends if high > 0), default=0.0)
    top = top or max((low for low, _ in ends if low > 0), default=1.0)
    least = min((low for low, _ in ends if low >= 0), default=0.0)
    return float(max(top / 10**DECADES, 0.7 * least))
