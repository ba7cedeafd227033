"""The fields of a row that dictionaries, JSON, CSV and data frames hold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convspec.operators.operator import ConvOperator
from convspec.quantity.enclosure import Enclosure
from convspec.report.readings import Reading

if TYPE_CHECKING:
    from convspec.report.layer import LayerReport

__all__ = [
    "Fields",
    "circular",
    "distribution",
    "enclosed",
    "frobenius",
    "listed",
    "plain",
    "shape_of",
    "size",
    "worst_case",
]

QUANTILES = tuple(np.linspace(0, 1, 21).tolist())

Fields = dict[str, Any]


def plain(value: Any) -> Any:
    """A value as JSON can hold it: infinities become words."""
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def enclosed(name: str, ends: Enclosure | None) -> Fields:
    """A quantity between two ends; no fields are filled if there are none."""
    if ends is None:
        return dict.fromkeys((name, f"{name}_lower", f"{name}_upper", f"{name}_kind"))
    return Reading.enclosed(Enclosure(*ends)).fields(name)


def listed(name: str, op: ConvOperator | None) -> Fields:
    """A shape of the operator, as JSON holds it."""
    found = shape_of(name, op)
    return {name: None if found is None else list(found)}


def size(layer: LayerReport) -> Fields:
    """Rows and columns of the matrix."""
    rows, columns = (None, None) if layer.operator is None else layer.operator.shape
    return {"rows": rows, "columns": columns}


def frobenius(layer: LayerReport) -> Fields:
    """The Frobenius norm."""
    norm = layer.frobenius_norm
    if norm is None:
        return enclosed("frobenius_norm", None)
    return Reading.exact(norm).fields("frobenius_norm")


def _quantiles(values: Any) -> list[float] | None:
    if values is None:
        return None
    with np.errstate(invalid="ignore"):  # between infinities
        levels = np.nan_to_num(np.quantile(values, QUANTILES), nan=np.inf, posinf=np.inf)
    found: list[float] = levels.tolist()
    return found


def distribution(layer: LayerReport) -> Fields:
    """Quantiles of all values, exact or of both ends."""
    exact, band = layer.spectrum, layer.envelope
    return {
        "quantiles": _quantiles(None if exact is None else exact.values),
        "quantiles_lower": _quantiles(None if band is None else band.lower),
        "quantiles_upper": _quantiles(None if band is None else band.upper),
    }


def circular(layer: LayerReport) -> Fields:
    """The same kernel on the torus."""
    found = layer.circular
    return {
        "circular_norm": None if found is None else found.norm,
        "circular_quantiles": _quantiles(None if found is None else found.values),
    }


def worst_case(layer: LayerReport) -> Fields:
    """The supremum over input sizes, and what it assumes."""
    found = layer.worst_case
    words = None if found is None else found.assumptions
    return enclosed("worst_case", found) | {"worst_case_assumptions": words}


def shape_of(name: str, op: ConvOperator | None) -> tuple[int, ...] | None:
    """A shape of the operator, if there is one."""
    found: tuple[int, ...] | None = None if op is None else getattr(op, name)
    return found
