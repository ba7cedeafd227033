"""The largest singular value among many matrices, rounded up.

That is a level t for which a Cholesky factorisation of ``t I - M M^H`` completes in
floating point. Source: Rump, "Verification of positive definiteness", BIT 46, 2006;
Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., theorems 10.3 and 10.5.
One matrix alone, or each of several: :func:`convspec.rounding.norm_enclosure`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from convspec.bounds.kernel import root
from convspec.rounding import gamma, up

__all__ = ["Largest", "norm", "product_error"]

# steps of the power method that picks the matrix to decompose first
PICKING = 6


class Largest:
    """The largest ``sigma_1`` of matrices that come in batches.

    Attributes:
        index: Position of the matrix whose value is the largest computed.
    """

    def __init__(self) -> None:
        self.index = 0
        self._level = 0.0  # the largest eigenvalue computed of any M M^H
        self._above = 0.0  # at least the largest eigenvalue of all M M^H
        self._seen = 0

    @classmethod
    def of(cls, batches: Iterable[Tensor]) -> Largest:
        """Of batches (b, rows, columns) in float64 or complex128."""
        found = cls()
        for batch in batches:
            found.add(batch)
        return found

    @property
    def above(self) -> float:
        """At least the largest singular value of all matrices seen."""
        return up(math.sqrt(self._above))

    def add(self, matrices: Tensor) -> None:
        """Take in a batch (b, rows, columns).

        Matrices whose row sums do not exclude them are tested at a level a little above
        the largest eigenvalue known; those that fail may be larger, and one of them is
        decomposed to raise the level.
        """
        grams, defect = _grams(matrices)
        cheap = grams.abs().sum(dim=-1).amax(dim=-1) * (1 + gamma(2 * grams.shape[-1]))
        suspects = torch.arange(len(grams))
        slack = 16 * grams.shape[-1] * 2.0**-53
        while True:
            level = self._level * (1 + slack)
            suspects = suspects[cheap[suspects] > level]
            suspects = suspects[~_below(grams[suspects], level)]
            if not len(suspects):
                break
            pick = int(suspects[_rough(grams[suspects]).argmax()])
            value = float(torch.linalg.eigvalsh(grams[pick])[-1])
            if value > self._level:
                self._level, self.index = value, self._seen + pick
            else:
                slack *= 4
        # where the test succeeds the largest eigenvalue is at most this
        tested = level * (1 + _cholesky_error(grams)) * (1 + gamma(4))
        self._above = max(self._above, up(tested + float(defect.max()), 2))
        self._seen += len(matrices)


def norm(matrix: Tensor) -> Tensor:
    """``sigma_1`` of a matrix, differentiable; 0 with gradient 0 at zero.

    Where the largest value is not simple, autograd gives one of its subgradients.
    """
    matrix = matrix.mH if matrix.shape[-2] > matrix.shape[-1] else matrix
    return root(torch.linalg.eigvalsh(matrix @ matrix.mH)[..., -1])


def product_error(matrix: Tensor, unit: float = 2.0**-53) -> float:
    """Bound on ``|fl(X Y) - X Y| / (|X| |Y|)`` for sums over the longer side of a matrix.

    Sums of k products in any order, with or without fused operations, err by at most
    ``gamma_k`` (Higham 2002, section 3.5); a complex product is two real sums of 2 k
    products each, ``2 sqrt(2)`` times that at most. Doubled, which covers the rounding of
    the bound itself.
    """
    terms = 2 * max(matrix.shape[-2:]) + 8
    return gamma((4 if matrix.is_complex() else 1) * terms, unit)


def _grams(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """``M M^H`` on the shorter side and a bound on the error's norm: (b, n, n), (b,)."""
    if matrices.shape[-2] > matrices.shape[-1]:
        matrices = matrices.mH
    grams = matrices @ matrices.mH
    grams = grams.tril() + grams.tril(-1).mH  # the half that LAPACK reads
    squares = torch.linalg.vector_norm(matrices, dim=(-2, -1)) ** 2
    return grams, product_error(matrices) * squares


def _below(grams: Tensor, level: float) -> Tensor:
    """Whether Cholesky factorisations of ``level I - G`` complete; (b,) bool."""
    shifted = level * torch.eye(grams.shape[-1], dtype=grams.dtype) - grams
    passed: Tensor = torch.linalg.cholesky_ex(shifted)[1] == 0
    return passed


def _cholesky_error(grams: Tensor) -> float:
    """Bound on ``lambda_max(G) / level - 1`` where the factorisation completes.

    The factors are those of ``H + E`` with ``||E|| <= gamma_(n+1) / (1 - gamma_(n+1))
    tr(H)`` and ``tr(H) <= n level``; forming H rounds its diagonal once more. Complex
    products and divisions by reciprocals are covered by the factor 8.
    """
    n = grams.shape[-1]
    return n * gamma(8 * (n + 2)) + gamma(2)


def _rough(grams: Tensor) -> Tensor:
    """Estimates of the largest eigenvalues; (b,)."""
    v = grams.abs().sum(dim=-1, keepdim=True).to(grams)
    v = v + torch.linspace(0.5, 1.0, v.shape[1], dtype=torch.float64)[:, None]
    for _ in range(PICKING):
        v = grams @ (
            v / torch.linalg.vector_norm(v, dim=1, keepdim=True).clamp(min=1e-300)
        )
    found: Tensor = torch.linalg.vector_norm(v, dim=(1, 2))
    return found
