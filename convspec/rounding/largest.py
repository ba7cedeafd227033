"""The largest singular value among many matrices, rounded up.

That is a level t at which a Cholesky factorisation proves ``M M^H <= t I`` for all of
them, see :mod:`convspec.rounding.definite`. One matrix alone, or each of several:
:func:`convspec.rounding.norm_enclosure`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from convspec.rounding import up
from convspec.rounding.definite import at_most, cholesky_error
from convspec.rounding.directed import UNIT
from convspec.rounding.norms import above, norm_above
from convspec.rounding.products import gram_matrix, product_error
from convspec.rounding.prove import distances
from convspec.rounding.scaling import root

__all__ = ["LargestNorm", "norm"]

# steps of the power method that picks the matrix to decompose first
PICKING = 6


class LargestNorm:
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
    def of(cls, batches: Iterable[Tensor]) -> LargestNorm:
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
        decomposed to raise the level. Those that fail at every distance above it are
        taken for what their row sums allow.
        """
        grams, error = gram_matrix(matrices)
        cheap = above(norm_above(grams) + error, 2 * UNIT)
        suspects = torch.arange(len(grams))
        for distance in distances(_slack(matrices)):
            suspects = self._larger(grams, error, cheap, suspects, distance)
            if not len(suspects):
                break
        unproven = float(cheap[suspects].max()) if len(suspects) else 0.0
        self._above = max(self._above, self._level * (1 + distance), unproven)
        self._seen += len(matrices)

    def _larger(
        self,
        grams: Tensor,
        error: Tensor,
        cheap: Tensor,
        suspects: Tensor,
        distance: float,
    ) -> Tensor:
        """The suspects whose tests fail at this distance above the final level."""
        while True:
            level = self._level * (1 + distance)
            suspects = suspects[cheap[suspects] > level]
            ceiling = torch.tensor(level, dtype=torch.float64)
            suspects = suspects[~at_most(grams[suspects], ceiling, error[suspects])]
            if not len(suspects):
                return suspects
            pick = int(suspects[_rough(grams[suspects]).argmax()])
            value = float(torch.linalg.eigvalsh(grams[pick])[-1])
            if not value > self._level:
                return suspects
            self._level, self.index = value, self._seen + pick


def norm(matrix: Tensor) -> Tensor:
    """``sigma_1`` of a matrix, differentiable; 0 with gradient 0 at zero.

    Where the largest value is not simple, autograd gives one of its subgradients.
    """
    matrix = matrix.mH if matrix.shape[-2] > matrix.shape[-1] else matrix
    return root(torch.linalg.eigvalsh(matrix @ matrix.mH)[..., -1])


def _slack(matrices: Tensor) -> float:
    """About how far above an eigenvalue its Cholesky test succeeds, relative to it."""
    side, inner = sorted(matrices.shape[-2:])
    is_complex = matrices.is_complex()
    errors = cholesky_error(side, is_complex) + product_error(inner, is_complex)
    return 1.25 * side * errors + 32 * UNIT


def _rough(grams: Tensor) -> Tensor:
    """Estimates of each Gram matrix's largest eigenvalue, by the power method; (b,)."""
    v = grams.abs().sum(dim=-1, keepdim=True).to(grams)
    v = v + torch.linspace(0.5, 1.0, v.shape[1], dtype=torch.float64)[:, None]
    for _ in range(PICKING):
        v = grams @ (
            v / torch.linalg.vector_norm(v, dim=1, keepdim=True).clamp(min=1e-300)
        )
    found: Tensor = torch.linalg.vector_norm(v, dim=(1, 2))
    return found
