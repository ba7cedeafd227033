"""Proofs of ``lambda_max(G) <= c`` in single precision: quick, where there is room.

If the Cholesky factorisation of H runs to its end, ``R^H R = H + E`` with
``|E| <= g |R|^T |R|`` entry by entry (Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., theorem 10.3), so ``||E||_2 <= g || |R| ||_2^2``. g grows with the
number of roundings that a term meets on its way. Block by block these are fewer: a term
is added up with those of its block, and then subtracted with them. Split R into its
diagonal D and the rest N: ``|| |R| ||_2 <= max d + ||N||_F``, and
``||N||_F^2 = ||R||_F^2 - sum d^2`` where ``||R||_F^2 <= trace(H) / (1 - g)``. So the
diagonal of R is all it takes to know, once H is factorised, that

    lambda_min(H) >= -g (max d + ||N||_F)^2.

For the matrices of a wide random layer that is an eighth of the bound by the trace alone,
and the blocks take it to a thirtieth for 512 rows; see :mod:`convspec.rounding.definite`.
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
# columns of a block; up to the last of these sides, and beyond. Quickest of the powers
# of two, in which a product of this width costs no more than a factorisation
NARROW, WIDE, NARROW_SIDE = 32, 64, 128
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
    pivots, completed = _pivots(shifted)

    whole = above(sum_above(entries.to(torch.float64).clamp(min=0), -1), 2 * growth)
    square = below(pivots.square().sum(-1), gamma(side + 2))
    rest = above((whole - square).clamp(min=0), 2 * UNIT) + SINGLE_UNDERFLOW
    width = above(pivots.amax(-1) + rest.sqrt(), 4 * UNIT)
    lost = above(growth * width.square(), 8 * UNIT)
    proven: Tensor = completed & (above(lost + taken, 4 * UNIT) <= shift)
    return proven, (coarse | completed) & ~proven


def _pivots(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Diagonals of Cholesky factors, float64, and which factorisations ran to the end.

    Args:
        matrices: (b, n, n), overwritten; the lower triangle is read.
    """
    side = matrices.shape[-1]
    width = _width(side)
    pivots = torch.empty(matrices.shape[:-1], dtype=torch.float64)
    completed = torch.ones(len(matrices), dtype=torch.bool)
    for first in range(0, side, width):
        end = min(first + width, side)
        block, below_it = matrices[:, first:end, first:end], matrices[:, end:, first:end]
        factor, info = torch.linalg.cholesky_ex(block)
        pivots[:, first:end] = factor.diagonal(dim1=-2, dim2=-1).real
        completed &= info == 0
        if end == side or not completed.any():
            break
        panel = torch.linalg.solve_triangular(factor.mH, below_it, upper=True, left=False)
        for start in range(end, side, width):
            rows, columns = panel[:, start - end :], panel[:, start - end :][:, :width]
            # not in one call: BLAS might add the terms to the rest one by one
            matrices[:, start:, start : start + width] -= rows @ columns.mH
    return pivots, completed & torch.isfinite(pivots).all(-1)


def _width(side: int) -> int:
    """Columns of a block of the factorisation, for matrices of this side."""
    return NARROW if side <= NARROW_SIDE else WIDE


def _growth(side: int) -> float:
    """At least g, for complex matrices; also at least ``g / (1 - g)``.

    A term is a product of two real numbers, added to at most 2 b - 1 others, b the width
    of a block. Their sum is subtracted, and after it the later blocks' at most ``n / b``
    sums, from an entry of H; then up to 2 b terms of the entry's own block are, in any
    order. What the entry itself meets on this way divides its terms (Higham, lemma 8.4).
    With a pivot's square root and reciprocal that makes ``4 b + n / b + 16`` at most.
    """
    width = min(_width(side), side)
    roundings = 4 * width + -(-side // width) + 16
    g = up(up(math.sqrt(2)) * gamma(min(roundings, 2 * side + 8), SINGLE))
    return up(g / (1 - up(g)), 2)
