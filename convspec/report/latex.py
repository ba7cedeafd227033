"""A report as a LaTeX table."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from convspec.operators.operator import ConvOperator
from convspec.quantity.latex import NONE, enclosure, escaped, number, rounded_up, tabular
from convspec.report.layer import Known, LayerReport
from convspec.report.quantities import QUANTITIES, Quantity

__all__ = ["DEFAULT_COLUMNS", "latex_table"]

DEFAULT_COLUMNS = (
    "layer",
    "kernel",
    "norm",
    "worst_case",
    "reshaped",
    "condition_number",
    "stable_rank",
)
HEADINGS = {
    "norm": r"$\sigma_1$",
    "smallest": r"$\sigma_{\min}$",
    "worst_case": r"$\sup \sigma_1$",
    "condition_number": r"$\kappa$",
    "schatten_4": r"$\|A\|_{S_4}$",
    "nuclear_norm": r"$\|A\|_*$",
}
TIMES = r" \times "
WORDS = ("layer", "kernel", "input", "output", "method")  # aligned left


def latex_table(rows: Sequence[LayerReport], columns: Sequence[str], digits: int) -> str:
    """One line per layer; see :meth:`ModelReport.to_latex`."""
    cells = _columns(digits)
    unknown = [name for name in columns if name not in cells]
    if unknown or not columns:
        raise ValueError(
            f"columns must be some of {', '.join(cells)}; got {list(columns)!r}"
        )
    if digits < 1:
        raise ValueError(f"digits must be at least 1; got {digits}")
    alignment = "".join("l" if name in WORDS else "r" for name in columns)
    header = [_heading(name) for name in columns]
    return tabular(
        alignment, header, [[cells[name](row) for name in columns] for row in rows]
    )


def _columns(digits: int) -> dict[str, Callable[[LayerReport], str]]:
    """What stands in each column of a row."""
    found: dict[str, Callable[[LayerReport], str]] = {
        "layer": _name,
        "kernel": _kernel,
        "input": lambda row: _shape(row.operator, "input_shape"),
        "output": lambda row: _shape(row.operator, "output_shape"),
        "worst_case": lambda row: (
            NONE if row.worst_case is None else rounded_up(row.worst_case.upper, digits)
        ),
        "reshaped": lambda row: (
            NONE if row.reshaped is None else number(row.reshaped[0], digits)
        ),
        "circular": lambda row: (
            NONE if row.circular is None else number(row.circular.norm, digits)
        ),
        "method": lambda row: row.method,
    }
    for quantity in QUANTITIES:
        found[quantity.name] = _quantity(quantity, digits)
    return found


def _heading(name: str) -> str:
    return HEADINGS.get(name, name.replace("_", " ").capitalize())


def _name(row: LayerReport) -> str:
    calls = rf" ($\times {row.calls}$)" if row.calls > 1 else ""
    return rf"\texttt{{{escaped(row.name)}}}{calls}"


def _kernel(row: LayerReport) -> str:
    """The geometry; of a layer that is not supported, its type."""
    if row.operator is None:
        return escaped(row.type)
    words = escaped(row.geometry)
    return re.sub(r"(?<=\d)x(?=\d)", lambda _: r"$\times$", words)


def _shape(op: ConvOperator | None, name: str) -> str:
    return NONE if op is None else f"${TIMES.join(map(str, getattr(op, name)))}$"


def _quantity(quantity: Quantity, digits: int) -> Callable[[LayerReport], str]:
    """What is known of it, to no more digits than are certain."""

    def cell(row: LayerReport) -> str:
        known: Known = row.quantities[quantity.name]
        if known is None:
            return NONE
        if isinstance(known, tuple):
            return enclosure(*known, digits)
        if row.spectrum is not None:
            return number(known, quantity.digits(row.spectrum, digits))
        return number(known, digits)

    return cell
