"""From the spectra of tori to bands around the spectrum of the operator.

Let A be an operator (of one group) and C a torus with ``J C P`` equal to A on ``kept``
outputs and a ``kept`` subspace of pixels, as in :mod:`convspec.tori.relations`.
With ``a`` the dimensions of A that are given up (outputs and pixels, channels counted),
``b`` those of C that are not hit, and ``[low, high]`` the products of the ranges of the
diagonal matrices ``J^T J`` (on hit outputs) and ``P^T P``,

    sqrt(low) sigma_{i+b}(C)  <=  sigma_i(A)  <=  sqrt(high) sigma_{i-a}(C).

Proof. Restricting A to the kept parts gives A' with ``sigma_{i+a}(A) <= sigma_i(A') <=
sigma_i(A)``, since deleting a row, or a dimension of the domain, moves singular values by
at most one index (Thompson, "Principal submatrices IX: interlacing inequalities for
singular values of submatrices", Linear Algebra Appl. 5, 1972; Horn and Johnson, Topics in
Matrix Analysis, corollary 3.1.3). With R the selection of hit outputs, ``J = Q D R`` and
``P = Q' D'``, Q and Q' with orthonormal columns, D and D' diagonal: A' has the values of
``D X D'`` with ``X = R C Q'`` a compression of C to subspaces of total codimension b, so
``sigma_{i+b}(C) <= sigma_i(X) <= sigma_i(C)``, and ``sigma_i(D X D')`` lies between
``min D min D'`` and ``max D max D'`` times sigma_i(X).

Of an output that occurs c times all but t copies may be given up, and pixels shown more
than t times may be, so that a larger index shift buys a smaller factor: every t is tried
(in 2-D, reflect padding by 1 shows 4 pixels four times, the rest of the border twice).

Zero padding is the case a = 0, J and P selections (A a submatrix of C); the same-size
comparison is Weyl's inequality for a perturbation of rank a (Horn and Johnson, theorem
3.3.16), sharpened for deleted rows; reflect and replicate padding is P with repeated
pixels. Zero rows and columns of A and of C are left out of the counts.

Groups are a direct sum. Each has a band of its own and the bands are sorted together:
the i-th largest of a union is monotone in every element, so this encloses, and it is
never wider than the band of the direct sum, which deletes as many rows in all but takes
them from the largest values of any group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from convspec.arrays import FloatArray, IntArray
from convspec.spectrum.envelope.tighten import Sources
from convspec.tori.relation import Relation, Side

__all__ = ["Band", "Shift"]


@dataclass(frozen=True)
class Shift:
    """``sqrt(low) sigma_{i+drop}(C) <= sigma_i(A) <= sqrt(high) sigma_{i-rise}(C)``."""

    rise: int
    drop: int
    low: int
    high: int

    @classmethod
    def all_of(cls, axes: Sequence[Relation], rows: int, columns: int) -> set[Shift]:
        """The shifts of a product of axes with (rows, columns) channels per group."""
        outputs = [relation.rows for relation in axes]
        pixels = [relation.columns for relation in axes]
        out, share = _multiplicities(outputs)
        shown, often = _multiplicities(pixels)
        found = set()
        for most, times in product({1, *out.tolist()}, set(shown.tolist())):
            spare = int((share * (out - most).clip(min=0)).sum())
            hidden = int(often[shown > times].sum())
            found.add(
                cls(
                    rows * (_given_up(outputs) + spare)
                    + columns * (_given_up(pixels) + hidden),
                    rows * _missed(outputs) + columns * (_missed(pixels) + hidden),
                    min(most, int(out.min())) * int(shown.min()),
                    most * times,
                )
            )
        return found


def _multiplicities(sides: Sequence[Side]) -> tuple[IntArray, IntArray]:
    """The products of counts over axes, and how many coordinates have each."""
    values = numbers = np.ones(1, dtype=np.int64)
    for side in sides:
        value, number = np.unique(np.array(side.counts), return_counts=True)
        values = np.multiply.outer(values, value).reshape(-1)
        numbers = np.multiply.outer(numbers, number).reshape(-1)
    return values, numbers


def _given_up(sides: Sequence[Side]) -> int:
    """Dimensions of the operator on which it is not the torus."""
    return math.prod(s.total for s in sides) - math.prod(s.kept for s in sides)


def _missed(sides: Sequence[Side]) -> int:
    """How many dimensions of the torus the operator does not reach."""
    return math.prod(s.torus for s in sides) - math.prod(s.hit for s in sides)


class Band:
    """The best bounds so far on the singular values of each group.

    Attributes:
        lower: (groups, length), descending.
        upper: (groups, length), descending.
        lower_source: Where each comes from.
        upper_source: Where each comes from.
    """

    def __init__(self, groups: int, length: int) -> None:
        self.lower: FloatArray = np.zeros((groups, length))
        self.upper: FloatArray = np.full((groups, length), np.inf)
        self.lower_source: Sources = np.zeros((groups, length), dtype=np.int8)
        self.upper_source: Sources = np.zeros((groups, length), dtype=np.int8)

    def include(
        self, values: FloatArray, error: float | FloatArray, shift: Shift, source: int
    ) -> None:
        """Take in the values of a torus, (groups, values) descending, each +- error."""
        length = self.upper.shape[1]
        high = values + error
        high = np.where(high > 0, np.nextafter(high, np.inf), 0.0)  # 0 + 0 is exact
        high = _times_root(high, shift.high, np.inf)
        known = max(0, min(length - shift.rise, high.shape[1]))
        upper = np.full_like(self.upper, np.inf)
        upper[:, shift.rise :] = 0.0  # the rank of the torus ends the list
        upper[:, shift.rise : shift.rise + known] = high[:, :known]
        low = np.nextafter(values - error, -np.inf).clip(min=0.0)
        low = _times_root(low, shift.low, 0.0)[:, shift.drop :][:, :length]
        lower = np.zeros_like(self.lower)
        lower[:, : low.shape[1]] = low
        self._improve(lower, upper, source)

    def _improve(self, lower: FloatArray, upper: FloatArray, source: int) -> None:
        better = lower > self.lower
        self.lower[better], self.lower_source[better] = lower[better], source
        better = upper < self.upper
        self.upper[better], self.upper_source[better] = upper[better], source

    def spread(self, counts: Sequence[int], length: int) -> Band:
        """The sorted union of ``sqrt(count)`` times the groups, zeros up to length.

        The singular values of a Kronecker product with a matrix of singular values
        ``sqrt(count)`` are all products; sorting keeps enclosures.
        """
        union = Band(1, length)
        union.upper[:] = 0.0
        distinct, often = np.unique(np.array(counts, dtype=np.int64), return_counts=True)
        for name, towards in (("lower", 0.0), ("upper", np.inf)):
            values, sources = getattr(self, name), getattr(self, f"{name}_source")
            parts = [
                np.tile(_times_root(values, int(square), towards).reshape(-1), int(many))
                for square, many in zip(distinct, often, strict=True)
            ]
            together = np.concatenate(parts)
            order = np.argsort(-together, kind="stable")[:length]
            labels = np.tile(sources.reshape(-1), len(counts))
            bounds = np.zeros(length)
            bounds[: len(order)] = together[order]
            getattr(union, name)[0] = bounds
            getattr(union, f"{name}_source")[0, : len(order)] = labels[order]
        return union


def _times_root(values: FloatArray, square: int, towards: float) -> FloatArray:
    """``sqrt(square) * values``, rounded towards 0 or inf; exact for 0 and 1."""
    if square == 1:
        return values
    if square == 0:
        return np.zeros_like(values)
    root = np.nextafter(np.sqrt(np.float64(square)), towards)
    product: FloatArray = np.nextafter(values * root, towards)
    return np.where(values == 0, 0.0, product)
