"""One row of a report: a convolution layer, its operator, what its spectrum says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from convspec.bounds import Bound, WorstCase
from convspec.operator import ConvOperator
from convspec.report.quantities import NORM, QUANTITIES
from convspec.rounding import down, up
from convspec.spectrum import Envelope, Spectrum

__all__ = ["QUANTILES", "Known", "LayerReport"]

QUANTILES = tuple(np.linspace(0, 1, 21).tolist())

Known = float | tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class LayerReport:
    """A convolution layer on the input size it saw.

    Attributes:
        name: Qualified name in the model, with the input size if it saw several.
        type: Class name of the layer.
        calls: How often it was called on this size.
        operator: Its operator; None if the layer is not supported.
        frobenius_norm: ``||A||_F``, exact.
        method: ``"fourier"`` or ``"dense"`` for an exact spectrum; ``"envelope"`` for
            bounds by tori, ``"krylov"`` for those without; else ``"none"``.
        reason: Why that method, or why none.
        seconds: Time spent on the row.
        spectrum: The exact spectrum, where a method within the limits gives it.
        norm: Certified bounds on ``sigma_1``, rounding included.
        envelope: Without an exact spectrum: certified bounds on all singular values.
        leading: Without an exact spectrum: the largest singular value by Krylov; a
            singular value lies within ``leading.error`` of it.
        circular: Without an exact spectrum: that of ``operator.circular()``, the same
            kernel on the torus of this size. Another operator: neither bound nor exact.
        worst_case: Encloses the supremum of ``sigma_1`` over input sizes; what its
            ``assumptions`` say of the padding.
        reshaped: Certified ends of the norm of the kernel reshaped to a matrix, which
            ``torch.nn.utils.spectral_norm`` normalises: with one group, at most the
            worst case; with several, on either side of it.
        left_out: Sentences on what was left out or cut short, and why.
    """

    name: str
    type: str
    calls: int
    operator: ConvOperator | None
    frobenius_norm: float | None
    method: str
    reason: str
    seconds: float
    spectrum: Spectrum | None = None
    norm: Bound | None = None
    envelope: Envelope | None = None
    leading: Spectrum | None = None
    circular: Spectrum | None = None
    worst_case: WorstCase | None = None
    reshaped: tuple[float, float] | None = None
    left_out: tuple[str, ...] = ()

    @property
    def geometry(self) -> str:
        """Kernel, stride, padding, dilation and groups, ``3x3 s2 p1 g32``.

        Then the padding mode, unless zeros, and whether the layer is transposed.
        """
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
        if self.operator.transposed:
            parts.append("transposed")
        return " ".join(parts)

    @cached_property
    def quantities(self) -> dict[str, Known]:
        """What the spectrum says: numbers if it is exact, else (lower, upper) or None."""
        if self.spectrum is not None:
            exact = {q.name: q.of(self.spectrum) for q in QUANTITIES}
            # beyond float64 some are not known
            return {q: None if x != x else x for q, x in exact.items()}
        found: dict[str, Known] = dict.fromkeys(q.name for q in QUANTITIES)
        if self.envelope is not None:
            found = {q.name: q.enclosed(self.envelope) for q in QUANTITIES}
        if self.norm is not None:
            found[NORM] = self.norm.lower, self.norm.upper
        return found

    @property
    def norm_over_reshaped(self) -> tuple[float, float] | None:
        """Certified ends of sigma_1 over the norm of the reshaped kernel.

        That is sigma_1 of this layer once ``spectral_norm`` has made its reshaped kernel
        one of norm 1. None without either, or if both are 0.
        """
        if self.norm is None or self.reshaped is None or self.reshaped[0] == 0:
            return None
        least, most = self.reshaped
        return max(0.0, down(self.norm.lower / most)), up(self.norm.upper / least)

    def to_dict(self) -> dict[str, Any]:
        """All that is known, JSON-ready: None where unknown, infinities as "inf".

        A quantity is under its name where it is exact; where it is not, bounds on it
        are under ``..._lower`` and ``..._upper``.
        """
        op, exact, envelope = self.operator, self.spectrum, self.envelope
        leading, circular, worst = self.leading, self.circular, self.worst_case
        reshaped = self.reshaped or (None, None)
        ratio = self.norm_over_reshaped or (None, None)
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
            "error": None if exact is None else exact.error,
        }
        for name, known in self.quantities.items():
            ends = known if isinstance(known, tuple) else (None, None)
            row[name] = None if isinstance(known, tuple) else known
            row[f"{name}_lower"], row[f"{name}_upper"] = ends
        row |= {
            "quantiles": _quantiles(exact, "values"),
            "quantiles_lower": _quantiles(envelope, "lower"),
            "quantiles_upper": _quantiles(envelope, "upper"),
            "leading": None if leading is None else leading.norm,
            "leading_error": None if leading is None else float(np.max(leading.error)),
            "worst_case_lower": None if worst is None else worst.lower,
            "worst_case_upper": None if worst is None else worst.upper,
            "worst_case_assumptions": None if worst is None else worst.assumptions,
            "reshaped_lower": reshaped[0],
            "reshaped_upper": reshaped[1],
            "norm_over_reshaped_lower": ratio[0],
            "norm_over_reshaped_upper": ratio[1],
            "circular_norm": None if circular is None else circular.norm,
            "circular_quantiles": _quantiles(circular, "values"),
            "method": self.method,
            "reason": self.reason,
            "left_out": "; ".join(self.left_out) or None,
            "seconds": self.seconds,
        }
        return {key: _plain(value) for key, value in row.items()}


def _pad(before: int, after: int) -> str:
    return str(before) if before == after else f"({before},{after})"


def _quantiles(found: Spectrum | Envelope | None, name: str) -> list[Any] | None:
    if found is None:
        return None
    values = getattr(found, name)
    with np.errstate(invalid="ignore"):  # between infinities
        levels = np.nan_to_num(np.quantile(values, QUANTILES), nan=np.inf, posinf=np.inf)
    return [_plain(x) for x in levels.tolist()]


def _plain(value: Any) -> Any:
    """JSON has no infinities."""
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value
