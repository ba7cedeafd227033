"""Singular triples of A between two spaces, and how far they are from exact ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.operators.operator import ConvOperator
from convspec.operators.rows import one_by_one

__all__ = ["Triples"]


@dataclass(frozen=True)
class Triples:
    """Singular triples of A between two spaces, the largest value first.

    Attributes:
        v: Right vectors, orthonormal rows.
        u: Left vectors.
        s: The values ``u^H A v``.
        ahead: ``||A v - s u||``.
        back: ``||A^H u - s v||``.
    """

    v: Tensor
    u: Tensor
    s: Tensor
    ahead: Tensor
    back: Tensor

    @classmethod
    def of(
        cls, side: ConvOperator, v: Tensor, u: Tensor, image: Tensor | None
    ) -> Triples:
        """Of A between the spaces of v and u; ``image`` is A v, if it is known."""
        image = one_by_one(side, v) if image is None else image
        y, s, z = torch.linalg.svd(image @ u.mH)  # (v, u): rows of y^H v and z u
        v, u, image = y.mH @ v, z @ u, y.mH @ image
        back = one_by_one(side.H, u) - s[:, None] * v
        ahead = torch.linalg.vector_norm(image - s[:, None] * u, dim=1)
        return cls(v, u, s, ahead, torch.linalg.vector_norm(back, dim=1))

    @property
    def residuals(self) -> Tensor:
        """Of each value and both its vectors, a bound on what they err.

        An eigenvalue of ``[[0, A], [A^H, 0]]`` is within ``sqrt((one^2 + two^2) / 2)`` of
        s, at most the larger residual. It stands for a singular value if that is less
        than s, or else if A is square: others have zeros beside them. At any rate
        ``sigma_min <= ||A v|| <= s + one``.
        """
        larger = torch.maximum(self.ahead, self.back)
        if self.v.shape[1] == self.u.shape[1]:
            return larger
        return torch.where(larger < self.s, larger, torch.maximum(self.s, larger))
