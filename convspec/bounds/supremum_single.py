"""Proofs of ``lambda_max(G) <= c`` in single precision: quick, where there is room.

If the Cholesky factorisation of H runs to its end, ``R^H R = H + E`` with
``|E| <= g |R|^T |R|`` entry by entry (Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., theorem 10.3), so ``||E||_2 <= g || |R| ||_2^2``. Split R into its
diagonal D and the rest N: ``|| |R| ||_2 <= max d + ||N||_F``, and
``||N||_F^2 = ||R||_F^2 - sum d^2`` where ``||R||_F^2 <= trace(H) / (1 - g)``. So the
diagonal of R is all it takes to know, once H is factorised, that

    lambda_min(H) >= -g (max d + ||N||_F)^2.

For the matrices of a wide random layer that is an eighth of the bound by the trace alone,
see :mod:`convspec.rounding.definite`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convspec.rounding.directed import UNIT, gamma, up
from convspec.rounding.norms import above, below, sum_above

__all__ = ["SINGLE", "at_most_single", "single_error", "single_room"]

# unit roundoff of float32
SINGLE = 2.0**-24
# what underflow can do to a factorisation in single precision, up to side 2^16
SINGLE_UNDERFLOW = 2.0**-90
# ||N||_F^2 is about this much of ||G||_F^2 / c, and c log n for an eigenvalue near c: a
# guess on which no proof depends
REST = 0.65
# and what a test needs is about this much of g times the side, at most
SHARE = 0.1


def single_room(side: int) -> float:
    """About the relative distance ``1 - lambda_max / c`` that tests take at least.

    inf where no test can succeed.
    """
    if 4 * side + 16 > 0.1 / SINGLE:
        return math.inf
    return max(SHARE * side, 4.0) * _growth(side)


def single_error(matrices: Tensor, error: Tensor) -> Tensor:
    """At least the 2-norm of what rounded evaluations of G, off by ``error``, are off by.

    ``||G - fl(G)||_F <= u ||G||_F <= u trace(G)``; see :func:`at_most_single`.
    """
    diagonal = matrices.diagonal(dim1=-2, dim2=-1).real.to(torch.float64)
    trace = sum_above(diagonal.abs(), -1)
    rounding = 2 * SINGLE * above(trace + 2 * matrices.shape[-1] * error, 4 * UNIT)
    return above(error + rounding, 4 * UNIT) + SINGLE_UNDERFLOW


def at_most_single(
    matrices: Tensor, ceiling: Tensor, error: Tensor, room: Tensor
) -> tuple[Tensor, Tensor]:
    """Whether ``lambda_max(G) <= ceiling`` is proven, in single precision.

    Args:
        matrices: (b, n, n), complex64: float64 evaluations of positive semidefinite
            matrices G, rounded. The lower triangle is read; entries below 2^60.
        ceiling: (b,), float64.
        error: See :func:`single_error`; (b,), float64.
        room: What the test may take, relative to the ceiling; (b,).

    Returns:
        Where it is proven, and where this test is too coarse to say; (b,), bool.
    """
    side = matrices.shape[-1]
    growth = _growth(side)
    diagonal = matrices.diagonal(dim1=-2, dim2=-1).real.to(torch.float64)
    largest = diagonal.abs().amax(-1)
    size = torch.linalg.vector_norm(torch.view_as_real(matrices), dim=(-3, -2, -1))
    rest = REST * size.to(torch.float64).square() / ceiling.clamp(min=1e-30)
    rest = rest + ceiling.clamp(min=0) * math.log(side)
    shift = growth * (ceiling.clamp(min=0).sqrt() + rest.sqrt()).square()
    # the diagonal rounds to float64 twice and to float32 once
    rounding = 2 * SINGLE * above(ceiling.abs() + shift + largest, 4 * UNIT)
    taken = above(error + rounding, 4 * UNIT) + SINGLE_UNDERFLOW
    shift = shift + taken
    coarse = shift > room * ceiling

    shifted = -matrices
    entries = ((ceiling - shift)[:, None] - diagonal).to(torch.float32)
    shifted.diagonal(dim1=-2, dim2=-1).copy_(entries)
    factor, info = torch.linalg.cholesky_ex(shifted)
    pivots = factor.diagonal(dim1=-2, dim2=-1).real.to(torch.float64)
    completed = (info == 0) & torch.isfinite(pivots).all(-1)

    whole = above(sum_above(entries.to(torch.float64).clamp(min=0), -1), 2 * growth)
    square = below(pivots.square().sum(-1), gamma(side + 2))
    rest = above((whole - square).clamp(min=0), 2 * UNIT) + SINGLE_UNDERFLOW
    width = above(pivots.amax(-1) + rest.sqrt(), 4 * UNIT)
    lost = above(growth * width.square(), 8 * UNIT)
    proven: Tensor = completed & (above(lost + taken, 4 * UNIT) <= shift)
    return proven, (coarse | completed) & ~proven


def _growth(side: int) -> float:
    """At least g, for complex matrices; also at least ``g / (1 - g)``."""
    g = up(up(math.sqrt(2)) * gamma(2 * side + 8, SINGLE))
    return up(g / (1 - up(g)), 2)
