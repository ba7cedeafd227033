"""Spectra over training: reports of one network at several checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from convspec.arguments import shown
from convspec.isolation import isolated
from convspec.plot.canvas import (
    axes_or_new,
    finish,
    logarithmic,
    plain_log_ticks,
    points,
)
from convspec.plot.palette import CYCLE, ENCLOSED, EXACT
from convspec.quantity.enclosure import Enclosure
from convspec.report import LayerReport, ModelReport
from convspec.report.quantities import QUANTITIES

__all__ = ["training"]

DISTRIBUTION = "distribution"
LOGARITHMIC = {"norm", "smallest", "condition_number", "nuclear_norm", "schatten_4"}
# pairs of quantiles, outermost first, and how dark the band between them is
QUANTILE_BANDS = ((0.0, 1.0, 0.15), (0.1, 0.9, 0.25), (0.25, 0.75, 0.35))  # they add up
STYLES = ("-", "--", "-.", (0, (1, 1)))
DECADES = 4
MOST_ROWS = 26  # of a column of the legend


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
            _line(ax, at, rows[name], quantity, name, place, kwargs)
        ax.set_ylabel(quantity.replace("_", " "))
    if quantity in {*LOGARITHMIC, DISTRIBUTION} and _has_positive(ax):
        logarithmic(ax)
        plain_log_ticks(ax.yaxis, *ax.get_ylim())
    if all(step == round(step) for step in at):
        ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    ax.set_xlabel("checkpoint" if steps is None else "step")
    finish(ax)
    if legend:
        _legend(ax, [] if quantity == DISTRIBUTION else names)
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


def _line(
    ax: Axes,
    at: list[float],
    rows: list[LayerReport],
    quantity: str,
    name: str,
    place: int,
    look: dict[str, Any],
) -> None:
    ends = np.array([_ends(row, quantity) for row in rows])
    options: dict[str, Any] = {
        "color": CYCLE[place % len(CYCLE)],
        "linestyle": STYLES[place % len(STYLES)],
        "marker": "o",
        "markersize": 3.0 if len(at) <= 20 else 0.0,
        **look,
    }
    if np.array_equal(ends[:, 0], ends[:, 1], equal_nan=True):
        ax.plot(at, ends[:, 1], label=name, **options)
        return
    color = options["color"]
    ax.fill_between(
        at, ends[:, 0], ends[:, 1], facecolor=(color, 0.25), edgecolor=color,
        hatch="//////", linewidth=0.0,
    )  # fmt: skip
    ax.plot(at, ends[:, 1], label=f"{name}, enclosed", **options)
    ax.plot(at, ends[:, 0], **options)


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


def _has_positive(ax: Axes) -> bool:
    return any(
        bool((np.nan_to_num(np.asarray(line.get_ydata(), dtype=float)) > 0).any())
        for line in ax.lines
    )


def _legend(ax: Axes, names: Sequence[str]) -> None:
    """Beside the axes, layers in the order in which their lines end."""
    handles, labels = ax.get_legend_handles_labels()
    if names:
        ends = [_last(handle) for handle in handles]
        order = sorted(range(len(ends)), key=lambda place: -ends[place])
        handles, labels = [handles[j] for j in order], [labels[j] for j in order]
    columns = -(-len(handles) // MOST_ROWS)
    ax.legend(
        handles,
        labels,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        ncols=columns,
        fontsize=points(0.85 if columns == 1 else 0.7),
    )


def _last(handle: Artist) -> float:
    """The last value of a line; what is unknown comes last."""
    if not isinstance(handle, Line2D):
        return -math.inf
    values = np.asarray(handle.get_ydata(), dtype=float)
    return float(values[-1]) if np.isfinite(values[-1]) else -math.inf
