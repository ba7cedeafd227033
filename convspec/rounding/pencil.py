"""The largest ratio of two quadratic forms, from above: ``N <= t D`` by Cholesky."""

from __future__ import annotations

import math

import scipy
import torch
from torch import Tensor

from convspec.rounding.definite import at_least
from convspec.rounding.directed import UNIT, up
from convspec.rounding.norms import frobenius_above
from convspec.rounding.prove import least_proven_of
from convspec.rounding.scaling import UNDERFLOW

__all__ = ["hermitian_part", "largest_ratio"]

# distance above the computed ratio at which a proof is tried first, relative
STEP = 2.0**-44


def largest_ratio(
    numerator: Tensor, denominator: Tensor, off_above: float, off_below: float
) -> float:
    """At least ``max <x, N x> / <x, D x>`` over x; inf unless D is proven positive.

    ``t D - N`` and D are proven positive definite, for a t as small as succeeds.

    Args:
        numerator: N, Hermitian and positive semidefinite; (m, m).
        denominator: D, Hermitian; (m, m).
        off_above: At least the 2-norm of what N is off by.
        off_below: At least that of D.

    >>> N = torch.diag(torch.tensor([1.0, 6.0], dtype=torch.float64))
    >>> 6 <= largest_ratio(N, torch.eye(2, dtype=torch.float64), 0.0, 0.0) < 6 + 1e-11
    True
    """
    if not _above_zero(denominator, off_below):
        return math.inf

    def test(trial: float) -> float:
        difference = trial * denominator - numerator
        entries = trial * float(frobenius_above(denominator))
        entries = up(entries + float(frobenius_above(numerator)), 2)
        error = up(trial * off_below + off_above + 4 * UNIT * entries, 6)
        return trial if _above_zero(difference, error) else math.inf

    pair = numerator.numpy(), denominator.numpy()
    ratio = float(scipy.linalg.eigh(*pair, eigvals_only=True)[-1])
    # what N may be off by has its own ratio, which may be all there is
    least = float(torch.linalg.eigvalsh(denominator)[0])
    return least_proven_of(test, max(ratio, 2 * off_above / least), STEP)


def hermitian_part(matrix: Tensor) -> Tensor:
    """The Hermitian part, no further from a Hermitian matrix than the matrix is."""
    return (matrix + matrix.mH) / 2


def _above_zero(matrix: Tensor, error: float) -> bool:
    """Whether a Hermitian matrix known up to an error is proven positive definite."""
    if not (math.isfinite(error) and bool(torch.isfinite(matrix).all())):
        return False
    bound = torch.tensor(error, dtype=torch.float64)
    floor = torch.tensor(UNDERFLOW, dtype=torch.float64)
    return bool(at_least(matrix[None], floor, bound)[0])
