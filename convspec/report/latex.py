"""A report as a LaTeX table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from convspec.quantity.enclosure import Enclosure
from convspec.quantity.latex import NONE, enclosure, escaped, number, rounded_up, tabular
from convspec.report.columns import COLUMNS, table
from convspec.report.entries import (
    About,
    AtMost,
    Counted,
    Digits,
    Entry,
    Geometry,
    Label,
)
from convspec.report.layer import LayerReport

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
TIMES = r" \times "


def latex_table(rows: Sequence[LayerReport], columns: Sequence[str], digits: int) -> str:
    """One line per layer; see :meth:`ModelReport.to_latex`."""
    every = *COLUMNS, *table(rows)
    known = {column.name: column for column in every if column.of is not None}
    unknown = [name for name in columns if name not in known]
    if unknown or not columns:
        raise ValueError(
            f"columns must be some of {', '.join(known)}; got {list(columns)!r}"
        )
    if digits < 1:
        raise ValueError(f"digits must be at least 1; got {digits}")
    shown = [known[name] for name in columns]
    return tabular(
        "".join("r" if column.kind == "number" else "l" for column in shown),
        [column.latex or escaped(column.name.replace("_", " ").capitalize())
         for column in shown],
        [[_cell(column.entry(row), digits) for column in shown] for row in rows],
    )  # fmt: skip


def _cell(entry: Entry, digits: int) -> str:
    """To no more digits than are certain; bounds are rounded outward."""
    if entry is None:
        return NONE
    if isinstance(entry, str):
        return escaped(entry)
    if isinstance(entry, Label):
        calls = rf" ($\times {entry.calls}$)" if entry.calls > 1 else ""
        return rf"\texttt{{{escaped(entry.name)}}}{calls}"
    if isinstance(entry, Geometry):
        words = escaped(entry.words)
        return re.sub(r"(?<=\d)x(?=\d)", lambda _: r"$\times$", words)
    if isinstance(entry, Counted):
        count = _cell(entry.count, digits)
        return count if count == NONE else f"{count} of {number(entry.all, digits)}"
    if isinstance(entry, tuple):
        return f"${TIMES.join(map(str, entry))}$"
    if isinstance(entry, AtMost):
        return rounded_up(entry.upper, digits)
    if isinstance(entry, About):
        return rf"$\approx$ {number(entry.value, digits)}"
    if isinstance(entry, Digits):
        return number(entry.value, min(digits, entry.certain))
    if isinstance(entry, Enclosure):
        return enclosure(entry.lower, entry.upper, digits)
    return number(entry, digits)
