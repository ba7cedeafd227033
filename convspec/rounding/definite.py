"""Proofs by one Cholesky factorisation: positive definiteness, and ``sigma_1 <= gamma``.

If the factorisation of H runs to its end, the computed R satisfies ``R^H R = H + E`` with
``|E| <= g |R|^T |R|`` (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.,
theorem 10.3), so ``||E||_F <= g ||R||_F^2``. The trace of ``R^H R = H + E`` gives
``||R||_F^2 <= trace(H) / (1 - g)``. Hence

    lambda_min(H) >= -g / (1 - g) trace(H):

shift H down by that first, and completion is a proof (Rump, "Verification of positive
definiteness", BIT 46, 2006).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convspec.rounding.directed import UNIT, gamma, up
from convspec.rounding.norms import above, below, frobenius_above, sum_above
from convspec.rounding.products import gram_matrix
from convspec.rounding.scaling import UNDERFLOW, ldexp_below, scaled

__all__ = ["at_least", "at_most", "certified_below", "cholesky_error"]


def cholesky_error(side: int, is_complex: bool) -> float:
    """Number a with ``lambda_min(H) >= -a trace(H)`` if the Cholesky of H completes.

    ``g = gamma_{n+4}`` for real and ``sqrt(2) gamma_{2n+8}`` for complex matrices: a
    pivot's square root and reciprocal round once each, and complex sums are two real
    ones of twice the length.
    """
    g = up(up(math.sqrt(2)) * gamma(2 * side + 8)) if is_complex else gamma(side + 4)
    return up(g / (1 - up(g)), 2)


def at_least(matrices: Tensor, floor: Tensor, error: Tensor) -> Tensor:
    """Whether ``lambda_min(G) >= floor`` is proven, for Hermitian G known up to an error.

    Args:
        matrices: (b, n, n), of which the lower triangle is read; entries below 2^60.
        floor: (b,) or a scalar tensor.
        error: At least the 2-norm of what the matrices are off by; (b,) or scalar.

    Returns:
        (b,), bool. False says nothing.
    """
    return _completes(matrices, -1.0, -floor, error)


def at_most(matrices: Tensor, ceiling: Tensor, error: Tensor) -> Tensor:
    """Whether ``lambda_max(G) <= ceiling`` is proven; the mirror of :func:`at_least`."""
    return _completes(matrices, 1.0, ceiling, error)


def _completes(matrices: Tensor, sign: float, level: Tensor, error: Tensor) -> Tensor:
    """Whether ``level I - sign G`` is proven positive semidefinite."""
    side = matrices.shape[-1]
    diagonal = sign * matrices.diagonal(dim1=-2, dim2=-1).real  # (b, n)
    level, error = level.expand(len(matrices)), error.expand(len(matrices))
    # what the diagonal can be at most, for the trace and for its own rounding
    entries = above(level[:, None] - diagonal).clamp(min=0)
    largest = above(level.abs() + diagonal.abs().amax(-1), 8 * UNIT)
    trace = above(sum_above(entries, -1))
    shift = trace * cholesky_error(side, matrices.is_complex())
    shift = above(shift + error + 4 * UNIT * largest, 8 * UNIT) + UNDERFLOW
    shifted = -sign * matrices
    shifted.diagonal(dim1=-2, dim2=-1).copy_((level - shift)[:, None] - diagonal)
    if side == 1:
        return shifted[:, 0, 0].real >= 0
    factor, info = torch.linalg.cholesky_ex(shifted)
    pivots = factor.diagonal(dim1=-2, dim2=-1).real
    completed: Tensor = (info == 0) & torch.isfinite(pivots).all(-1)
    return completed


def certified_below(matrices: Tensor, gamma: float | Tensor) -> Tensor:
    """Whether ``sigma_1(X) <= gamma`` is proven, by one Cholesky factorisation each.

    Succeeds from a relative distance of about ``n k 2^-51`` on, for n the smaller and
    k the larger side.

    Args:
        matrices: (..., r, c), float64 or complex128.
        gamma: What to compare with; a number, or one for each matrix.

    Returns:
        (...), bool. False says nothing.

    >>> X = torch.diag(torch.tensor([3.0, 2.0], dtype=torch.float64))
    >>> certified_below(X, 3.0001), certified_below(X, 2.9999)
    (tensor(True), tensor(False))
    """
    gammas = torch.as_tensor(gamma, dtype=torch.float64).expand(matrices.shape[:-2])
    work, exponent = scaled(matrices)
    work, level = work.reshape(-1, *work.shape[-2:]), exponent.reshape(-1)
    level = ldexp_below(gammas.reshape(-1).clamp(min=0), -level).clamp(max=2.0**50)
    gram, error = gram_matrix(work)
    proven = at_most(gram, below(level**2), error) | (frobenius_above(work) <= level)
    return proven.reshape(gammas.shape) & (gammas >= 0)
