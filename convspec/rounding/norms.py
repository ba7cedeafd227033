"""Norms rounded to one side, for batches of matrices.

A sum of n numbers of one sign, each rounded r times before, has relative error at most
``gamma_{n + r}`` in any order (Higham, Accuracy and Stability of Numerical Algorithms,
2nd ed., section 4.2). Entries must be below 2^60 or so; see
:func:`convspec.rounding.scaled`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convspec.rounding.directed import UNIT, down, gamma, up
from convspec.rounding.scaling import (
    UNDERFLOW,
    ldexp_above,
    ldexp_below,
    real_parts,
    scaled,
)

__all__ = [
    "above",
    "below",
    "frobenius_above",
    "frobenius_below",
    "norm_above",
    "sum_above",
]


# matrices are scaled before they are squared where their largest part is below this
SMALLEST = 2.0**-500


def above(values: Tensor, relative: float = UNIT) -> Tensor:
    """At least ``values / (1 - relative)``, for ``values >= 0``; 0 stays 0."""
    factor = up(1 / (1 - up(relative)), 4)
    higher = torch.nextafter(values * factor, _infinity(values))
    return torch.where(values == 0, values, higher)


def below(values: Tensor, relative: float = UNIT) -> Tensor:
    """At most ``values / (1 + relative)``, for ``values >= 0``; never negative."""
    factor = down(1 - up(relative, 2))
    return torch.nextafter(values * factor, -_infinity(values)).clamp(min=0)


def sum_above(terms: Tensor, dim: int | tuple[int, ...], rounded: int = 0) -> Tensor:
    """At least the sum of terms >= 0 that were rounded ``rounded`` times each."""
    dims = (dim,) if isinstance(dim, int) else dim
    count = math.prod(terms.shape[j] for j in dims)
    return above(terms.sum(dims), gamma(count + rounded))


def frobenius_above(matrices: Tensor) -> Tensor:
    """At least ``||X||_F``: (..., r, c) -> (...).

    >>> X = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    >>> 5 <= frobenius_above(X) < 5.0001
    tensor(True)
    """
    matrices, exponent = _lifted(matrices)
    length, count = _length(matrices)
    length = _with_room(above(length, gamma(count + 4)))
    return length if exponent is None else ldexp_above(length, exponent)


def frobenius_below(matrices: Tensor) -> Tensor:
    """At most ``||X||_F``: (..., r, c) -> (...)."""
    matrices, exponent = _lifted(matrices)
    length, count = _length(matrices)
    length = below(length, gamma(count + 4))
    return length if exponent is None else ldexp_below(length, exponent)


def norm_above(matrices: Tensor) -> Tensor:
    """At least ``||X||_2``, as the least of two bounds: (..., r, c) -> (...).

    ``||X||_2^2 <= ||X||_1 ||X||_inf`` (Schur), and ``||X||_2 <= ||X||_F``.
    """
    if not matrices.numel():
        return torch.zeros(matrices.shape[:-2], dtype=torch.float64)
    matrices, exponent = _lifted(matrices)
    sizes = matrices.abs()  # for complex numbers good to a few units
    rows = sum_above(sizes, -1, 4).amax(-1)
    columns = sum_above(sizes, -2, 4).amax(-1)
    schur = above((rows * columns).sqrt(), 4 * UNIT)
    schur = _with_room(schur)
    norm = torch.minimum(schur, frobenius_above(matrices))
    return norm if exponent is None else ldexp_above(norm, exponent)


def _lifted(matrices: Tensor) -> tuple[Tensor, Tensor | None]:
    """Matrices of which no square vanishes that matters, and what they were scaled by.

    None where all are as they were. Of a matrix whose largest part is at least
    ``SMALLEST`` squares that underflow are below 2^-70 of the sum for each of them. The
    length of n parts is at most ``sqrt(n)`` times the largest, and found much faster.
    """
    length, count = _length(matrices)
    if bool((length > 2 * math.sqrt(count) * SMALLEST).all()):
        return matrices, None
    largest = _largest(matrices)
    tiny = (largest > 0) & (largest < SMALLEST)
    if not bool(tiny.any()):
        return matrices, None
    lifted, exponent = scaled(matrices)
    exponent = torch.where(tiny, exponent, 0)
    return torch.where(tiny[..., None, None], lifted, matrices), exponent


def _with_room(norms: Tensor) -> Tensor:
    """Norms with room for what underflowed; those of zero, as none other's, are 0."""
    return torch.where(norms > 0, norms + UNDERFLOW, norms)


def _length(matrices: Tensor) -> tuple[Tensor, int]:
    """The Frobenius norm of each matrix as computed, and of how many squares it is."""
    parts = real_parts(matrices)
    length: Tensor = torch.linalg.vector_norm(parts, dim=(-3, -2, -1))
    return length, math.prod(parts.shape[-3:])


def _largest(matrices: Tensor) -> Tensor:
    """The largest size of a real or imaginary part in each matrix, 0 without entries."""
    parts = real_parts(matrices)
    largest: Tensor = torch.linalg.vector_norm(parts, math.inf, dim=(-3, -2, -1))
    return largest


def _infinity(values: Tensor) -> Tensor:
    return torch.full((), math.inf, dtype=values.dtype)
