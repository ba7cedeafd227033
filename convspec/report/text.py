"""A report as a plain-text table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_FLOOR, Context

from convspec.report.layer import LayerReport

__all__ = ["EMPTY", "aligned", "layer_table"]

EMPTY = "-"
COLUMNS = (
    "layer",
    "type",
    "kernel",
    "input",
    "output",
    "||A||_F",
    "sigma_1",
    "sigma_min",
    "rank",
    "cond",
    "stable rank",
    "method",
    "circular sigma_1",
    "worst case",
    "s",
)
LEFT = 5  # columns of words and shapes, aligned left; numbers go right


def layer_table(layers: Sequence[LayerReport]) -> str:
    """One line per layer; ``-`` where a quantity is not known exactly."""
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
    op, exact, circular = layer.operator, layer.spectrum, layer.circular
    calls = f" (x{layer.calls})" if layer.calls > 1 else ""
    return [
        layer.name + calls,
        layer.type,
        layer.geometry or EMPTY,
        EMPTY if op is None else _shape(op.input_shape),
        EMPTY if op is None else _shape(op.output_shape),
        _number(layer.frobenius_norm),
        _norm(layer),
        _number(None if exact is None else float(exact.values[-1])),
        EMPTY if exact is None else str(exact.rank()),
        _number(None if exact is None else exact.condition_number),
        _number(None if exact is None else exact.stable_rank),
        layer.method,
        _number(None if circular is None else circular.norm),
        EMPTY,
        f"{layer.seconds:.2f}",
    ]


def _norm(layer: LayerReport) -> str:
    if layer.spectrum is None and layer.leading is not None:
        return f">= {_rounded_down(layer.leading.norm)}"
    return _number(None if layer.spectrum is None else layer.spectrum.norm)


def _rounded_down(value: float) -> str:
    """Four digits, never above the value: a lower bound must stay one in print."""
    down = Context(prec=4, rounding=ROUND_FLOOR).create_decimal_from_float(value)
    return f"{float(down):.4g}"


def _shape(numbers: Sequence[int]) -> str:
    return "x".join(map(str, numbers))


def _number(value: float | None) -> str:
    if value is None:
        return EMPTY
    return "inf" if math.isinf(value) else f"{value:.4g}"
