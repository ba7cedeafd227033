"""One row of a report: a convolution layer, its operator, what its spectrum says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from convspec.bounds import WorstCase
from convspec.isolation import isolated_class
from convspec.operators.operator import ConvOperator
from convspec.quantity.bound import Bound
from convspec.quantity.enclosure import Enclosure
from convspec.report.columns import fields
from convspec.report.known import Enclosed, Exact, NotKnown, Singular
from convspec.report.quantities import QUANTITIES, Quantity
from convspec.report.readings import Known
from convspec.report.row_fields import plain
from convspec.spectrum import Envelope, Spectrum
from convspec.spectrum.sums.estimates import Estimated

__all__ = ["LayerReport"]


@isolated_class
@dataclass(frozen=True, eq=False)
class LayerReport:
    """A convolution layer on the input size it saw.

    Attributes:
        name: Qualified name in the model, with the input size if it saw several.
        type: Class name of the layer.
        calls: How often it was called on this size.
        operator: Its operator; None if the layer is not supported.
        known: What is known of its singular values: all of them, bounds, or nothing.
        reason: Why that method, or why none.
        seconds: Time spent on the row.
        circular: Without an exact spectrum: that of ``operator.circular()``, the same
            kernel on the torus of this size. Another operator: neither bound nor exact.
        worst_case: Encloses the supremum of ``sigma_1`` over input sizes; what its
            ``assumptions`` say of the padding.
        reshaped: Certified ends of the norm of the kernel reshaped to a matrix, which
            ``torch.nn.utils.spectral_norm`` normalises: with one group, at most the
            worst case; with several, on either side of it.
        left_out: Sentences on what was left out or cut short, and why.
        fused: What stands before or behind the convolution in the model and is part of
            the operator, ``"reflect 3 before"``.
        asked: Further quantities, those that were asked for.
        error: What a step of the row raised at first, with its traceback; None if none
            failed. ``left_out`` says so in words; files have these alone.
    """

    name: str
    type: str
    calls: int
    operator: ConvOperator | None
    known: Singular = field(default_factory=NotKnown)
    reason: str = ""
    seconds: float = 0.0
    circular: Spectrum | None = None
    worst_case: WorstCase | None = None
    reshaped: Enclosure | None = None
    left_out: tuple[str, ...] = ()
    fused: tuple[str, ...] = ()
    asked: tuple[Quantity, ...] = ()
    error: Exception | None = None

    @property
    def method(self) -> str:
        """``"fourier"`` or ``"dense"`` for an exact spectrum.

        ``"envelope"`` for bounds by tori, ``"norm"`` for those without; else
        ``"none"``.
        """
        return self.known.method

    @property
    def spectrum(self) -> Spectrum | None:
        """The exact spectrum, where a method within the limits gives it."""
        return self.known.spectrum if isinstance(self.known, Exact) else None

    @property
    def norm(self) -> Bound | None:
        """Certified bounds on ``sigma_1``, rounding included."""
        return self.known.norm

    @property
    def envelope(self) -> Envelope | None:
        """Without an exact spectrum: certified bounds on all singular values."""
        return self.known.envelope if isinstance(self.known, Enclosed) else None

    @property
    def estimates(self) -> Mapping[str, Estimated]:
        """Estimates of quantities whose certified ends are wide, by name.

        Each has its standard error, over random frequencies, and what the boundary may
        add; nothing is promised.
        """
        return self.known.estimates if isinstance(self.known, Enclosed) else {}

    @cached_property
    def frobenius_norm(self) -> float | None:
        """``||A||_F``, exact."""
        return None if self.operator is None else self.operator.frobenius_norm()

    @property
    def geometry(self) -> str:
        """Kernel, stride, padding, dilation and groups, ``3x3 s2 p1 g32``.

        Then the padding mode, unless zeros, whether the layer is transposed, and in
        brackets what else of the model is part of the operator.
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
        mode = self.operator.geometry.padding_mode
        if mode != "zeros":
            parts.append(mode)
        if self.operator.transposed:
            parts.append("transposed")
        if self.fused:
            parts.append(f"({', '.join(self.fused)})")
        return " ".join(parts)

    @cached_property
    def quantities(self) -> dict[str, Known]:
        """What the spectrum says: numbers if it is exact, else enclosures or None."""
        return {q.name: self.known.shown(q) for q in (*QUANTITIES, *self.asked)}

    @property
    def norm_over_reshaped(self) -> Enclosure | None:
        """Certified ends of sigma_1 over the norm of the reshaped kernel.

        That is sigma_1 of this layer once ``spectral_norm`` has made its reshaped kernel
        one of norm 1. None without either, or if both are 0.
        """
        if self.norm is None or self.reshaped is None or self.reshaped.lower == 0:
            return None
        return self.norm / self.reshaped

    def to_dict(self) -> dict[str, Any]:
        """All that is known, JSON-ready: None where unknown, infinities as "inf".

        A quantity has its number under its name, its ends under ``..._lower`` and
        ``..._upper``, and ``"exact"`` or ``"enclosure"`` under ``..._kind``. Of an
        enclosure the number is the end that is attained, or nearer to what is.
        """
        return {name: plain(value) for name, value in fields(self).items()}


def _pad(before: int, after: int) -> str:
    return str(before) if before == after else f"({before},{after})"
