"""A report as a plain-text table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context

from convspec.report.layer import Known, LayerReport

__all__ = ["EMPTY", "aligned", "layer_table"]

EMPTY = "-"
# files hold the others
COLUMNS = (
    "layer",
    "kernel",
    "input",
    "output",
    "sigma_1",
    "worst case",
    "reshaped",
    "circular",
    "sigma_min",
    "rank",
    "cond",
    "stable rank",
    "method",
    "s",
)
LEFT = 4  # columns of words and shapes, aligned left; numbers go right


def layer_table(layers: Sequence[LayerReport]) -> str:
    """One line per layer; ``-`` where nothing is known of a quantity."""
    return aligned(COLUMNS, [_cells(layer) for layer in layers])


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells in columns two spaces apart, a rule under the header."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if place < LEFT else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:]])


def _cells(layer: LayerReport) -> list[str]:
    op, circular, known = layer.operator, layer.circular, layer.quantities
    calls = f" (x{layer.calls})" if layer.calls > 1 else ""
    full = None if op is None else min(op.shape)
    worst = None if layer.worst_case is None else layer.worst_case.upper
    return [
        layer.name + calls,
        _kernel(layer),
        EMPTY if op is None else _shape(op.input_shape),
        EMPTY if op is None else _shape(op.output_shape),
        _quantity(known["norm"]),
        EMPTY if worst is None else _rounded(worst, ROUND_CEILING),
        _number(None if layer.reshaped is None else layer.reshaped[0]),
        _number(None if circular is None else circular.norm),
        _quantity(known["smallest"]),
        _quantity(known["rank"], full),
        _quantity(known["condition_number"]),
        _quantity(known["stable_rank"]),
        layer.method,
        f"{layer.seconds:.2f}",
    ]


def _kernel(layer: LayerReport) -> str:
    """The geometry; of a layer that is not supported, its type."""
    if layer.operator is None:
        return layer.type
    return layer.geometry + (" transposed" if layer.operator.transposed else "")


def _quantity(known: Known, most: float | None = None) -> str:
    """A number, or ``a..b``, ``>= a``, ``<= b``, rounded outward; of 0 and inf none.

    Args:
        known: The number or bounds on it.
        most: An upper bound that goes without saying.
    """
    if not isinstance(known, tuple):
        return _number(known)
    lower, upper = known
    if lower == 0 and upper == math.inf:
        return EMPTY
    if lower == upper:
        return _number(lower)
    if upper in (math.inf, most):
        return f">= {_rounded(lower, ROUND_FLOOR)}"
    if lower == 0:
        return f"<= {_rounded(upper, ROUND_CEILING)}"
    return f"{_rounded(lower, ROUND_FLOOR)}..{_rounded(upper, ROUND_CEILING)}"


def _rounded(value: float, rounding: str) -> str:
    """An integer as it is, else four digits, rounded so that a bound stays one."""
    if isinstance(value, int):
        return str(value)
    digits = Context(prec=4, rounding=rounding).create_decimal_from_float(value)
    short = f"{float(digits):.4g}"
    small = 1e4 <= value < 1e7  # without an exponent, which would be longer
    return f"{digits.normalize():f}" if "e+" in short and small else short


def _shape(numbers: Sequence[int]) -> str:
    return "x".join(map(str, numbers))


def _number(value: float | None) -> str:
    if value is None:
        return EMPTY
    if isinstance(value, int):
        return str(value)
    return "inf" if math.isinf(value) else f"{value:.4g}"
