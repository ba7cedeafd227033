"""How far rounding can move a computed singular value."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from convspec.geometry import IntArray
from convspec.matrix import frobenius_norm

__all__ = ["sum_error", "svd_error", "symbol_error"]

# machine epsilon of float64
EPS = 2.0**-52


def svd_error(rows: int, columns: int, norm: float, eps: float) -> float:
    """Bound on ``|computed - exact|`` for LAPACK's singular values of a given matrix.

    LAPACK's SVD is backward stable: the computed values are those of ``A + E`` with
    ``||E|| <= p(m, n) eps ||A||`` and p "a modestly growing function" (LAPACK Users'
    Guide, 3rd ed., section 4.9); by Weyl each value then moves by at most that. The
    iteration on the bidiagonal drops off-diagonals up to 100 eps (``dlasq2``), whatever
    the size, and does so where values nearly coincide. We take ``p = 4 max(m, n) + 216``,
    twice what the worst matrices found need.
    """
    return (4 * max(rows, columns) + 216) * eps * norm


def sum_error(weight: Tensor, overlaps: Sequence[IntArray], eps: float) -> float:
    """Bound on the norm error from rounding weights and adding coinciding taps.

    A sum of k numbers errs by at most ``(k - 1) eps sum |.|`` in any order (Higham,
    Accuracy and Stability of Numerical Algorithms, 2nd ed., section 4.2), so the error
    is at most ``taps * eps`` times the Frobenius norm of the operator of ``|K|``.
    """
    taps = math.prod(weight.shape[2:])
    return taps * eps * frobenius_norm(weight.detach().abs(), overlaps)


def symbol_error(weight: Tensor, eps: float = EPS) -> float:
    """Bound on the norm error of ``F(w) = sum_t K_t exp(i <t, w>)`` evaluated on a grid.

    Entrywise ``|fl(F) - F| <= (taps + phase) eps sum_t |K_t|``: the angle ``2 pi sum_j
    turns_j / N_j`` carries at most (d + 2) roundings of a number below 2 pi d, its
    sine and cosine one each, and the sum over taps (taps + 1). The norm of the error is
    at most the Frobenius norm of ``sum_t |K_t|`` times that.
    """
    dim = weight.ndim - 2
    taps = math.prod(weight.shape[2:])
    spread = weight.detach().abs().reshape(*weight.shape[:2], taps).sum(dim=2)
    phase = 2 * math.pi * max(dim, 1) * (dim + 2) + 4
    return (taps + phase) * eps * _length(spread)


def _length(values: Tensor) -> float:
    """The root of the sum of squares, scaled first: those of tiny weights underflow."""
    largest = float(values.max()) if values.numel() else 0.0
    return largest * float(torch.linalg.vector_norm(values / largest)) if largest else 0.0
