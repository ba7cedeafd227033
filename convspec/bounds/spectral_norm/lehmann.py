"""Upper bounds on the largest eigenvalue from Ritz vectors and a count of eigenvalues.

Let B be Hermitian with at most m eigenvalues above nu, S a space of m dimensions, and
``<x, (B - nu) x> > 0`` for all x in S but 0. Then

    lambda_1(B) - nu <= t = max over x in S of ||(B - nu) x||^2 / <x, (B - nu) x>.

Proof: let P be the projection onto the eigenvectors of B above nu. P is injective on S,
where ``B - nu`` is positive, so that its range has m dimensions and is reached from S.
Let ``P x`` be an eigenvector of the largest eigenvalue b of ``B - nu``. The part of x
that P drops adds to ``||(B - nu) x||^2 >= b^2 ||P x||^2`` and takes away from ``<x,
(B - nu) x> <= b ||P x||^2``; hence ``b <= t``. Source: Lehmann, "Beitraege zur
numerischen Loesung linearer Eigenwertprobleme", ZAMM 29, 1949; Maehly 1952; for m = 1 it
is Temple's and Kato's bound. With Ritz values theta and residuals R of S, t is at most
``theta_1 - nu + ||R||^2 / (theta_m - nu)``.

Here B is ``A^H A``. In a basis V of S, whatever its columns, t is the largest eigenvalue
of the pencil ``N - t D`` with ``Z = (B - nu) V``, ``N = Z^H Z`` and ``D = V^H Z``: for a
trial value of t, ``t D - N`` and D are proven to be positive definite. If Z is computed
with an error of at most e, Frobenius norm, N is off by ``2 ||Z|| e + e^2`` and D by
``||V|| e``, and by the rounding of their products.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convspec.operators.operator import ConvOperator
from convspec.operators.rows import one_by_one
from convspec.rounding import up
from convspec.rounding.directed import UNIT
from convspec.rounding.norms import frobenius_above
from convspec.rounding.pencil import hermitian_part, largest_ratio
from convspec.rounding.products import product_error
from convspec.rounding.scaling import UNDERFLOW

__all__ = ["Ritz"]


class Ritz:
    """A few vectors V and ``B V``, computed, with what the latter is off by.

    Args:
        side: A, whose columns are no more than its rows.
        rows: The vectors; (m, n).
        noise: Bound on the error of a product with A or its adjoint, for a unit vector.
        size: At least ``||A||``.

    Attributes:
        values: Rayleigh quotients of ``A^H A``, computed; (m,).
        residuals: ``||B v - theta v|| / ||v||``, computed; (m,).
    """

    def __init__(
        self, side: ConvOperator, rows: Tensor, noise: float, size: float
    ) -> None:
        self._rows = rows
        images = one_by_one(side, rows)
        self._products = one_by_one(side.H, images)
        length = float(frobenius_above(rows))
        image = float(frobenius_above(images))
        # A^H (A x + d) + d' with ||d|| <= noise ||x|| and ||d'|| <= noise ||A x + d||
        self._error = up(noise * up(image + up(size * length)), 4)
        squares = rows.abs().square().sum(dim=1)
        inner = (rows.conj() * self._products).sum(dim=1).real
        self.values = inner / squares
        left = self._products - self.values[:, None] * rows
        self.residuals = torch.linalg.vector_norm(left, dim=1) / squares.sqrt()

    def upper(self, nu: float, count: int) -> float:
        """At least ``lambda_1(B)`` if B has at most ``count`` eigenvalues above nu.

        inf where the vectors do not show as many above it.

        Args:
            nu: At least 0.
            count: Vectors to take, the first ones.
        """
        rows = self._rows[:count]
        if len(rows) < count:
            return math.inf
        shifted = self._products[:count] - nu * rows
        length, size = (float(frobenius_above(x)) for x in (rows, shifted))
        # what it is off by: the products and the rounding of this line
        off = up(self._error + 4 * UNIT * up(size + 2 * nu * length), 4)
        numerator = hermitian_part(shifted.conj() @ shifted.mT)
        denominator = hermitian_part(rows.conj() @ shifted.mT)
        inner = product_error(rows.shape[1] + 2, rows.is_complex())
        off_below = up(length * off + up(inner * up(length * size)) + UNDERFLOW, 4)
        off_above = up(2 * size * off + off * off, 3)
        off_above = up(off_above + up(inner * up(size * size)) + UNDERFLOW, 3)
        return up(nu + largest_ratio(numerator, denominator, off_above, off_below))
