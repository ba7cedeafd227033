"""One row of a report: a convolution layer, its operator, what its spectrum says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from convspec.operator import ConvOperator
from convspec.spectrum import Spectrum

__all__ = ["QUANTILES", "LayerReport"]

QUANTILES = tuple(np.linspace(0, 1, 21).tolist())


@dataclass(frozen=True, eq=False)
class LayerReport:
    """A convolution layer on the input size it saw.

    Attributes:
        name: Qualified name in the model, with the input size if it saw several.
        type: Class name of the layer.
        calls: How often it was called on this size.
        operator: Its operator; None if the layer is not supported.
        frobenius_norm: ``||A||_F``, exact.
        spectrum: The exact spectrum, where a method within the limits gives it.
        circular: Where it does not: the spectrum of ``operator.circular()``, the same
            kernel on the torus of this size. Another operator: neither bound nor exact.
        method: ``"fourier"`` or ``"dense"`` for an exact spectrum, ``"krylov"`` where
            only ``leading`` is known, else ``"none"``.
        reason: Why that method, or why none.
        seconds: Time spent on the row.
        leading: Without an exact spectrum: the largest singular value by Krylov, a
            lower bound of the norm up to rounding; a singular value lies within
            ``leading.error`` of it.
    """

    name: str
    type: str
    calls: int
    operator: ConvOperator | None
    frobenius_norm: float | None
    spectrum: Spectrum | None
    circular: Spectrum | None
    method: str
    reason: str
    seconds: float
    leading: Spectrum | None = None

    @property
    def geometry(self) -> str:
        """Kernel, stride, padding, dilation and groups, ``3x3 s2 p1 g32``."""
        if self.operator is None:
            return ""
        axes = self.operator.geometry.axes
        parts = ["x".join(str(axis.kernel) for axis in axes)]
        for letter, values, usual in (
            ("s", [str(axis.stride) for axis in axes], "1"),
            ("p", [_pad(axis.before, axis.after) for axis in axes], "0"),
            ("d", [str(axis.dilation) for axis in axes], "1"),
            ("g", [str(self.operator.groups)], "1"),
        ):
            if any(value != usual for value in values):
                same = len(set(values)) == 1
                parts.append(letter + (values[0] if same else ",".join(values)))
        if axes[0].mode != "zeros":
            parts.append(axes[0].mode)
        return " ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """All that is known, JSON-ready: None where unknown, infinities as "inf"."""
        op, exact, circular = self.operator, self.spectrum, self.circular
        leading = self.leading
        row: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "geometry": self.geometry,
            "calls": self.calls,
            "input_shape": None if op is None else list(op.input_shape),
            "output_shape": None if op is None else list(op.output_shape),
            "rows": None if op is None else op.shape[0],
            "columns": None if op is None else op.shape[1],
            "frobenius_norm": self.frobenius_norm,
            "norm": None,
            "error": None,
            "smallest": None,
            "rank": None,
            "nullity": None,
            "condition_number": None,
            "stable_rank": None,
            "effective_rank": None,
            "nuclear_norm": None,
            "log_volume": None,
            "quantiles": None if exact is None else _quantiles(exact),
            "leading": None if leading is None else leading.norm,
            "leading_error": None if leading is None else float(np.max(leading.error)),
            "worst_case_norm": None,
            "circular_norm": None if circular is None else circular.norm,
            "circular_quantiles": None if circular is None else _quantiles(circular),
            "method": self.method,
            "reason": self.reason,
            "seconds": self.seconds,
        }
        if exact is not None:
            row |= {
                "norm": exact.norm,
                "error": exact.error,
                "smallest": float(exact.values[-1]),
                "rank": exact.rank(),
                "nullity": exact.nullity(),
                "condition_number": exact.condition_number,
                "stable_rank": exact.stable_rank,
                "effective_rank": exact.effective_rank,
                "nuclear_norm": exact.nuclear_norm,
                "log_volume": exact.log_volume,
            }
        return {key: _plain(value) for key, value in row.items()}


def _pad(before: int, after: int) -> str:
    return str(before) if before == after else f"({before},{after})"


def _quantiles(spectrum: Spectrum) -> list[float]:
    found: list[float] = np.quantile(spectrum.values, QUANTILES).tolist()
    return found


def _plain(value: Any) -> Any:
    """JSON has no infinities."""
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value
