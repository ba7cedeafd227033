"""Rows of a sweep, one for each checkpoint and layer, and the columns that they have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from convspec.quantity.enclosure import Enclosure
from convspec.report.columns import fields
from convspec.report.model import ModelReport
from convspec.report.print import shape

__all__ = ["Row", "columns", "has_failed", "kind_of", "known", "report_rows"]

Row = dict[str, Any]
WORDS = {
    "checkpoint",
    "layer",
    "type",
    "geometry",
    "input_shape",
    "output_shape",
    "worst_case_assumptions",
    "method",
    "reason",
    "left_out",
}
COUNTS = {"step", "calls", "rows", "columns"}


def report_rows(report: ModelReport) -> list[Row]:
    """The rows of a report as its data frame has them, with their quantiles."""
    found = []
    for layer in report:
        data = fields(layer)
        row: Row = {"layer": data.pop("name")}
        for key, value in data.items():
            is_shape = key.endswith("_shape") and value is not None
            row[key] = shape(value) if is_shape else value
        found.append(row)
    return found


def columns(rows: Iterable[Row]) -> list[str]:
    """The columns of all rows, in the order in which they come first."""
    return list(dict.fromkeys(key for row in rows for key in row))


def kind_of(column: str, values: Sequence[Any]) -> str:
    """``"text"``, ``"integer"``, ``"list"`` or ``"number"``: what a column holds.

    Numbers are integers where all that are known are, as ranks can be.
    """
    if column in WORDS or column.endswith("_kind"):
        return "text"
    if "quantiles" in column:
        return "list"
    held = [value for value in values if value is not None]
    whole = bool(held) and all(isinstance(value, int) for value in held)
    return "integer" if column in COUNTS or whole else "number"


def known(row: Mapping[str, Any], quantity: str) -> float | Enclosure | None:
    """What a row says of a quantity: a number if it is exact, two ends, or nothing."""
    kind = row.get(f"{quantity}_kind")
    if kind is None:
        return None
    if kind == "exact":
        value = row[quantity]
        return math.nan if value is None else float(value)
    return Enclosure(row[f"{quantity}_lower"], row[f"{quantity}_upper"])


def has_failed(row: Mapping[str, Any]) -> bool:
    """Whether a row has no number at all."""
    return bool(row["method"] == "none" and row["reshaped_kind"] is None)
