"""Scaling by powers of two, which is exact, before anything is squared."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "UNDERFLOW",
    "ldexp",
    "ldexp_above",
    "ldexp_below",
    "real_parts",
    "root",
    "scaled",
]

# What underflow can do to a matrix product, a factorisation or a norm of fewer than
# 2^60 numbers below 2^60, even where subnormal numbers are flushed to zero.
UNDERFLOW = 2.0**-900

_LEAST_NORMAL = 2.0**-1022


def scaled(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """``2^-e X`` with entries of size at most 1, and e; one e for each matrix.

    Entries far below the largest may underflow: :data:`UNDERFLOW` allows for that.

    Args:
        matrices: (..., r, c), float64 or complex128.

    Returns:
        The scaled matrices and the exponents, (...), int64; 0 for a matrix of zeros.

    >>> scaled(torch.tensor([[3.0, -6.0]], dtype=torch.float64))
    (tensor([[ 0.3750, -0.7500]], dtype=torch.float64), tensor(3))
    """
    if not matrices.numel():
        return matrices, torch.zeros(matrices.shape[:-2], dtype=torch.int64)
    parts = real_parts(matrices)
    largest = parts.abs().amax(dim=(-3, -2, -1))
    exponent = torch.frexp(largest).exponent.to(torch.int64)
    parts = ldexp(parts, -exponent[..., None, None, None])
    return (
        torch.view_as_complex(parts) if matrices.is_complex() else parts[..., 0]
    ), exponent


def real_parts(values: Tensor) -> Tensor:
    """Real and imaginary parts along a new last axis, of length 1 for real numbers."""
    if values.is_complex():
        return torch.view_as_real(values.resolve_conj())
    return values[..., None]


def ldexp(values: Tensor, exponent: Tensor | int) -> Tensor:
    """``2^exponent values``, rounded only where it underflows.

    In two steps, where ``torch.ldexp`` takes one: 2^1074 alone would overflow.
    """
    exponent = torch.as_tensor(exponent, dtype=torch.int64)
    half = torch.div(exponent, 2, rounding_mode="trunc")
    return values * _power_of_two(half) * _power_of_two(exponent - half)


def ldexp_above(values: Tensor, exponent: Tensor | int) -> Tensor:
    """``2^exponent values`` for ``values >= 0``, never below the exact result."""
    result = ldexp(values, exponent)
    rounded = (result < _LEAST_NORMAL) & (values > 0)
    return torch.where(rounded, _neighbour(result, math.inf), result)


def ldexp_below(values: Tensor, exponent: Tensor | int) -> Tensor:
    """``2^exponent values`` for ``values >= 0``, never above the exact result."""
    result = ldexp(values, exponent)
    largest = torch.finfo(torch.float64).max
    rounded = (result < _LEAST_NORMAL) & (result > 0)
    result = torch.where(rounded, _neighbour(result, -math.inf), result)
    return result.clamp(0, largest)  # an infinite result is one that overflowed


def _power_of_two(exponent: Tensor) -> Tensor:
    """2^e exactly, for -1022 <= e <= 1023, by its bits."""
    return ((exponent + 1023) << 52).view(torch.float64)


def _neighbour(values: Tensor, direction: float) -> Tensor:
    return torch.nextafter(values, torch.full_like(values, direction))


def root(square: Tensor) -> Tensor:
    """The square root, with gradient 0 at 0."""
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1).sqrt(), 0)
