"""The columns of a report: one table, read by every form that a report is written in.

Plain text (:mod:`convspec.report.text`), a terminal (:mod:`convspec.report.terminal`),
HTML (:mod:`convspec.pages.html`) and LaTeX (:mod:`convspec.report.latex`) print what a
column shows of a row; dictionaries, JSON, CSV and data frames hold its fields. A new
column is one entry of :data:`COLUMNS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from convspec.quantity.enclosure import Enclosure
from convspec.report.column import NOWHERE, Column
from convspec.report.entries import (
    About,
    AtMost,
    Counted,
    Digits,
    Entry,
    Geometry,
    Label,
    Number,
)
from convspec.report.estimating import ESTIMATED
from convspec.report.quantities import QUANTITIES, Quantity
from convspec.report.row_fields import (
    Fields,
    circular,
    distribution,
    enclosed,
    frobenius,
    listed,
    shape_of,
    size,
    worst_case,
)

if TYPE_CHECKING:
    from convspec.report.layer import LayerReport

__all__ = ["COLUMNS", "TABLE", "fields", "table"]

MOST_DIGITS = 17
# of an estimate: what they are called, and what that is
FIELDS = {"estimate": "value", "standard_error": "standard_error", "bias": "bias"}
# of wider enclosures the table shows an estimate instead, if there is one
WIDE = 0.02


def fields(layer: LayerReport) -> Fields:
    """All data of a row, column by column."""
    columns = *COLUMNS, *map(_quantity, layer.asked)
    return {key: value for column in columns for key, value in column.data(layer).items()}


def table(layers: Sequence[LayerReport]) -> tuple[Column, ...]:
    """The columns of the table of some rows: the usual ones, and those asked for."""
    asked = {q.name: q for layer in layers for q in layer.asked}
    method = len(TABLE) - 2  # before the method and the time
    return *TABLE[:method], *map(_quantity, asked.values()), *TABLE[method:]


def _geometry(layer: LayerReport) -> Entry:
    """The geometry of a layer, or the type of one that is not supported."""
    return layer.type if layer.operator is None else Geometry(layer.geometry)


def _first(ends: Enclosure | None) -> float | None:
    return None if ends is None else ends.lower


def _data(name: str, of: Callable[[LayerReport], Any]) -> Column:
    """A field of the data that no printed table shows."""
    return Column(name, "", "", None, lambda layer: {name: of(layer)})


def _whole(count: float) -> int:
    """A count that is known about, to four digits."""
    return int(float(f"{count:.4g}"))


def _quantity(q: Quantity) -> Column:
    """The column of one of :data:`convspec.report.quantities.QUANTITIES`."""

    def entry(layer: LayerReport) -> Entry:
        found = number(layer)
        if q.counts and layer.operator is not None:
            return Counted(found, min(layer.operator.shape))
        return found

    def number(layer: LayerReport) -> Number:
        known = layer.quantities[q.name]
        if isinstance(known, Enclosure):
            most = q.any(*layer.operator.shape).upper if layer.operator else None
            about = layer.estimates.get(q.name)
            if about is not None and known.gap > WIDE:
                value = about.value
                if q.counts:  # as rounded no more than there are
                    value = min(_whole(value), int(known.upper))
                return About(value, about.standard_error)
            open_ = known.width > 0 and known.upper == most
            return Enclosure(known.lower, math.inf) if open_ else known
        if known is None or layer.spectrum is None:
            return known
        return Digits(known, q.digits(layer.spectrum, MOST_DIGITS))

    def data(layer: LayerReport) -> Fields:
        found = layer.known.reading(q)
        data = enclosed(q.name, None) if found is None else found.fields(q.name)
        if q.name in ESTIMATED:
            about = layer.estimates.get(q.name)
            for name, of in FIELDS.items():
                data[f"{q.name}_{name}"] = None if about is None else getattr(about, of)
        return data

    usual = q.name in {other.name for other in QUANTITIES}
    heading, meaning, priority, latex = SHOWN.get(
        q.name, (q.title, q.meaning, NOWHERE if usual else 0, "")
    )
    return Column(
        q.name, heading, meaning, entry, data, priority, spectral=True, latex=latex
    )


# quantities that stand in the table, or have a symbol: heading, meaning, priority, LaTeX
SHOWN: dict[str, tuple[str, str, int, str]] = {
    "norm": (
        "sigma_1",
        "The largest singular value: the operator norm.",
        0,
        r"$\sigma_1$",
    ),
    "smallest": (
        "sigma_min",
        "The smallest of the min(m, n) values.",
        6,
        r"$\sigma_{\min}$",
    ),
    "rank": (
        "rank",
        "Numerical rank: how many of all values are above max(m, n) eps sigma_1.",
        5,
        "",
    ),
    "condition_number": ("cond", "sigma_1 / sigma_min.", 4, r"$\kappa$"),
    "stable_rank": ("stable rank", "||A||_F^2 / sigma_1^2.", 7, ""),
    "schatten_4": ("Schatten 4-norm", "(sum sigma_i^4)^(1/4)", NOWHERE, r"$\|A\|_{S_4}$"),
    "nuclear_norm": ("nuclear norm", "sum sigma_i", NOWHERE, r"$\|A\|_*$"),
}
BY_NAME = {q.name: _quantity(q) for q in QUANTITIES}

COLUMNS = (
    Column(
        "layer",
        "layer",
        "Qualified name in the model, and how often it is called if more than once.",
        lambda layer: Label(layer.name, layer.calls),
        lambda layer: {"name": layer.name, "type": layer.type},
        0,
        kind="text",
    ),
    Column(
        "kernel",
        "kernel",
        "Kernel size, then stride s, padding p, dilation d, groups g and padding mode "
        "where they are not the usual.",
        _geometry,
        lambda layer: {"geometry": layer.geometry, "calls": layer.calls},
        2,
        kind="text",
    ),
    Column(
        "input",
        "input",
        "Channels x size of the input.",
        lambda layer: shape_of("input_shape", layer.operator),
        lambda layer: listed("input_shape", layer.operator),
        8,
        kind="shape",
    ),
    Column(
        "output",
        "output",
        "Channels x size of the output.",
        lambda layer: shape_of("output_shape", layer.operator),
        lambda layer: listed("output_shape", layer.operator),
        9,
        kind="shape",
    ),
    Column("size", "", "", None, size),
    Column("frobenius_norm", "", "", None, frobenius),
    _data("error", lambda layer: getattr(layer.spectrum, "error", None)),
    BY_NAME.pop("norm"),
    Column(
        "worst_case",
        "worst case",
        "Certified upper end of the supremum of sigma_1 over input sizes.",
        lambda layer: AtMost(layer.worst_case.upper) if layer.worst_case else None,
        worst_case,
        3,
        latex=r"$\sup \sigma_1$",
    ),
    Column(
        "reshaped",
        "reshaped",
        "What torch.nn.utils.spectral_norm takes for sigma_1: the norm of the kernel as "
        "a matrix.",
        lambda layer: _first(layer.reshaped),
        lambda layer: (
            enclosed("reshaped", layer.reshaped)
            | enclosed("norm_over_reshaped", layer.norm_over_reshaped)
        ),
        10,
    ),
    Column(
        "circular",
        "circular",
        "sigma_1 of the same kernel on the torus of this size: another operator, neither "
        "exact for the layer nor a bound.",
        lambda layer: None if layer.circular is None else layer.circular.norm,
        circular,
        12,
    ),
    *BY_NAME.values(),
    Column("quantiles", "", "", None, distribution),
    Column(
        "method",
        "method",
        "fourier or dense: exact; envelope or norm: certified bounds.",
        lambda layer: layer.method,
        lambda layer: {"method": layer.method, "reason": layer.reason},
        1,
        kind="text",
    ),
    _data("left_out", lambda layer: "; ".join(layer.left_out) or None),
    Column(
        "time",
        "time",
        "Time spent on the layer.",
        lambda layer: f"{layer.seconds:.2f}",
        lambda layer: {"seconds": layer.seconds},
        11,
        unit="s",
    ),
)
# what stands in the table
TABLE = tuple(column for column in COLUMNS if column.priority >= 0)
