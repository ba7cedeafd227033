"""The columns of a report: one table, read by every form that a report is written in.

Plain text (:mod:`convspec.report.text`), a terminal (:mod:`convspec.report.terminal`),
HTML (:mod:`convspec.pages.html`) and LaTeX (:mod:`convspec.report.latex`) print what a
column shows of a row; dictionaries, JSON, CSV and data frames hold its fields. A new
column is one entry of :data:`COLUMNS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convspec.operators.operator import ConvOperator
from convspec.quantity.enclosure import Enclosure
from convspec.report.entries import (
    About,
    AtMost,
    Digits,
    Entry,
    Geometry,
    Label,
    sort_key,
)
from convspec.report.print import written
from convspec.report.quantities import QUANTITIES, Quantity
from convspec.report.readings import Reading
from convspec.report.sums import ESTIMATED

if TYPE_CHECKING:
    from convspec.report.layer import LayerReport

__all__ = ["COLUMNS", "QUANTILES", "TABLE", "Column", "fields", "plain", "table"]

QUANTILES = tuple(np.linspace(0, 1, 21).tolist())
MOST_DIGITS = 17
NOWHERE = -1
# of an estimate: what they are called, and what that is
FIELDS = {"estimate": "value", "standard_error": "standard_error", "bias": "bias"}
# of wider enclosures the table shows an estimate instead, if there is one
WIDE = 0.02

Fields = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column of the table of layers, in every form.

    Attributes:
        name: Its key.
        heading: What it is called in a table, without the unit.
        meaning: What it says, in a sentence.
        of: What it shows of a row; None if it is data alone.
        data: Its fields, by name.
        priority: Of a column of the table: 0 for what every table must have; where room
            is short, the columns of the highest go first. No two are equal, but for 0.
            Below 0 for what stands in no table.
        unit: Of its numbers; empty if they have none.
        spectral: Whether it is of the spectrum: exact or enclosed, as the method says.
        kind: ``"text"``, ``"shape"`` or ``"number"``; numbers are aligned right.
        latex: Its heading in LaTeX, if another.
    """

    name: str
    heading: str
    meaning: str
    of: Callable[[LayerReport], Entry] | None
    data: Callable[[LayerReport], Fields]
    priority: int = NOWHERE
    unit: str = ""
    kind: str = "number"
    spectral: bool = False
    latex: str = ""

    @property
    def title(self) -> str:
        """The heading, with the unit in brackets if there is one."""
        return f"{self.heading} [{self.unit}]" if self.unit else self.heading

    def entry(self, layer: LayerReport) -> Entry:
        """What the column shows of a row."""
        return None if self.of is None else self.of(layer)

    def cell(self, layer: LayerReport) -> str:
        """Its text for a row, ``-`` where nothing is known."""
        return written(self.entry(layer))

    def key(self, layer: LayerReport) -> float | str | None:
        """What rows are sorted by; None where nothing is known, which comes last."""
        return sort_key(self.entry(layer))


def fields(layer: LayerReport) -> Fields:
    """All data of a row, column by column."""
    columns = *COLUMNS, *map(_quantity, layer.asked)
    return {key: value for column in columns for key, value in column.data(layer).items()}


def table(layers: Sequence[LayerReport]) -> tuple[Column, ...]:
    """The columns of the table of some rows: the usual ones, and those asked for."""
    asked = {q.name: q for layer in layers for q in layer.asked}
    method = len(TABLE) - 2  # before the method and the time
    return *TABLE[:method], *map(_quantity, asked.values()), *TABLE[method:]


def plain(value: Any) -> Any:
    """A value as JSON can hold it: infinities become words."""
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def _enclosed(name: str, ends: Enclosure | None) -> Fields:
    if ends is None:
        return dict.fromkeys((name, f"{name}_lower", f"{name}_upper", f"{name}_kind"))
    return Reading.enclosed(Enclosure(*ends)).fields(name)


def _shape(name: str, op: ConvOperator | None) -> tuple[int, ...] | None:
    found: tuple[int, ...] | None = None if op is None else getattr(op, name)
    return found


def _listed(name: str, op: ConvOperator | None) -> Fields:
    found = _shape(name, op)
    return {name: None if found is None else list(found)}


def _sized(layer: LayerReport) -> Fields:
    rows, columns = (None, None) if layer.operator is None else layer.operator.shape
    return {"rows": rows, "columns": columns}


def _frobenius(layer: LayerReport) -> Fields:
    norm = layer.frobenius_norm
    if norm is None:
        return _enclosed("frobenius_norm", None)
    return Reading.exact(norm).fields("frobenius_norm")


def _geometry(layer: LayerReport) -> Entry:
    """The geometry of a layer, or the type of one that is not supported."""
    return layer.type if layer.operator is None else Geometry(layer.geometry)


def _first(ends: Enclosure | None) -> float | None:
    return None if ends is None else ends.lower


def _quantiles(values: Any) -> list[float] | None:
    if values is None:
        return None
    with np.errstate(invalid="ignore"):  # between infinities
        levels = np.nan_to_num(np.quantile(values, QUANTILES), nan=np.inf, posinf=np.inf)
    found: list[float] = levels.tolist()
    return found


def _distribution(layer: LayerReport) -> Fields:
    exact, band = layer.spectrum, layer.envelope
    return {
        "quantiles": _quantiles(None if exact is None else exact.values),
        "quantiles_lower": _quantiles(None if band is None else band.lower),
        "quantiles_upper": _quantiles(None if band is None else band.upper),
    }


def _circular(layer: LayerReport) -> Fields:
    found = layer.circular
    return {
        "circular_norm": None if found is None else found.norm,
        "circular_quantiles": _quantiles(None if found is None else found.values),
    }


def _worst(layer: LayerReport) -> Fields:
    found = layer.worst_case
    words = None if found is None else found.assumptions
    return _enclosed("worst_case", found) | {"worst_case_assumptions": words}


def _data(name: str, of: Callable[[LayerReport], Any]) -> Column:
    """A field of the data that no printed table shows."""
    return Column(name, "", "", None, lambda layer: {name: of(layer)})


def _quantity(q: Quantity) -> Column:
    """The column of one of :data:`convspec.report.quantities.QUANTITIES`."""

    def entry(layer: LayerReport) -> Entry:
        known = layer.quantities[q.name]
        if isinstance(known, Enclosure):
            most = q.any(*layer.operator.shape).upper if layer.operator else None
            about = layer.estimates.get(q.name)
            if about is not None and known.gap > WIDE:
                return About(about.value, about.standard_error)
            open_ = known.width > 0 and known.upper == most
            return Enclosure(known.lower, math.inf) if open_ else known
        if known is None or layer.spectrum is None:
            return known
        return Digits(known, q.digits(layer.spectrum, MOST_DIGITS))

    def data(layer: LayerReport) -> Fields:
        found = layer.known.reading(q)
        data = _enclosed(q.name, None) if found is None else found.fields(q.name)
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
        "Numerical rank: singular values above max(m, n) eps sigma_1.",
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
        lambda layer: _shape("input_shape", layer.operator),
        lambda layer: _listed("input_shape", layer.operator),
        8,
        kind="shape",
    ),
    Column(
        "output",
        "output",
        "Channels x size of the output.",
        lambda layer: _shape("output_shape", layer.operator),
        lambda layer: _listed("output_shape", layer.operator),
        9,
        kind="shape",
    ),
    Column("size", "", "", None, _sized),
    Column("frobenius_norm", "", "", None, _frobenius),
    _data("error", lambda layer: getattr(layer.spectrum, "error", None)),
    BY_NAME.pop("norm"),
    Column(
        "worst_case",
        "worst case",
        "Certified upper end of the supremum of sigma_1 over input sizes.",
        lambda layer: AtMost(layer.worst_case.upper) if layer.worst_case else None,
        _worst,
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
            _enclosed("reshaped", layer.reshaped)
            | _enclosed("norm_over_reshaped", layer.norm_over_reshaped)
        ),
        10,
    ),
    Column(
        "circular",
        "circular",
        "sigma_1 of the same kernel on the torus of this size: another operator, neither "
        "exact for the layer nor a bound.",
        lambda layer: None if layer.circular is None else layer.circular.norm,
        _circular,
        12,
    ),
    *BY_NAME.values(),
    Column("quantiles", "", "", None, _distribution),
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
