"""The normal form of an operator: weights near 1, and none that only reads padding.

Scaling by powers of two is exact, and no square of what is left overflows or vanishes.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from convspec.arrays import FloatArray
from convspec.isolation import full_precision
from convspec.operators.operator import ConvOperator
from convspec.rounding.scaling import ldexp, real_parts

__all__ = ["normalised", "scaled_back", "without_overflow"]


def normalised(
    op: ConvOperator, dtype: torch.dtype, *, differentiable: bool = False
) -> tuple[ConvOperator, int]:
    """The operator ``2^-e A`` with live weights near 1, and e.

    Taps that are only ever read in padding are set to zero: they are no part of A.

    Args:
        op: The operator.
        dtype: ``torch.float32`` or ``torch.float64``, its arithmetic; see
            :func:`convspec.isolation.full_precision`.
        differentiable: Whether gradients reach the operator's weight.
    """
    dtype = full_precision(dtype, op.device)
    wide = torch.complex128 if op.dtype.is_complex else torch.float64
    weight = (op.weight if differentiable else op.weight.detach()).to(wide)
    for j, axis in enumerate(op.geometry.axes):
        if not axis.live.all():
            live = torch.as_tensor(axis.live, device=weight.device)
            live = live.reshape(-1, *[1] * (weight.ndim - 3 - j))
            weight = torch.where(live, weight, 0)
    exponent = math.frexp(float(real_parts(weight.detach()).abs().max()))[1]
    weight = ldexp(weight, -exponent)
    work = weight.to(dtype.to_complex() if op.dtype.is_complex else dtype)
    return op.with_weight(work), exponent


def without_overflow(op: ConvOperator) -> tuple[ConvOperator, int]:
    """The operator ``2^-e A`` and e: 0 unless sums of its weights may overflow.

    Every tap is scaled, those that are only read in padding too.
    """
    weight = op.weight.detach()
    largest = float(real_parts(weight).abs().max())
    limit = float(torch.finfo(weight.dtype).max) ** 0.5
    if largest <= limit:
        return op.with_weight(weight), 0
    exponent = math.frexp(largest)[1]
    return op.with_weight(ldexp(weight, -exponent)), exponent


def scaled_back(
    values: FloatArray, error: float | FloatArray, exponent: int
) -> tuple[FloatArray, float | FloatArray]:
    """``2^e`` times the values, and the error of that, which underflow may add to."""
    with np.errstate(over="ignore"):  # beyond float64 a value is inf, and so its error
        restored: FloatArray = np.ldexp(values, exponent)
        bound: FloatArray = np.ldexp(np.asarray(error, dtype=np.float64), exponent)
    bound = np.where(np.isinf(restored[0]), np.inf, bound)
    tiny = np.finfo(np.float64).tiny
    # below the normal range ldexp rounds
    rounded = (np.asarray(error) > 0) & ((bound < tiny) | (restored.min() < tiny))
    bound = np.where(rounded, np.nextafter(bound, np.inf), bound)
    return restored, bound if np.ndim(error) else float(bound)
