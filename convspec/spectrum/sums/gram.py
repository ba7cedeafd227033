"""Weighted Gram polynomials of a symbol, their eigenvalues, and what these are off by.

With L_t the blocks of F, on the side with fewer rows, and weights ``|w_tp| <= b_tp``,

    G(w) = sum_{t, p} w_tp L_t L_p^H exp(i <q_t - q_p, w>) = X(w) + X(w)^H,

where X has the pairs t > p, and half of those with t = p, by their lags.

*Rounding.* A product is off by at most ``g |L_t| |L_p|^T`` entry by entry, a weight by 96
u b_tp, a sum of j terms by gamma_j times their sizes, one with waves by the factor f of
:func:`convspec.rounding.waves.sum_factor`. All of it together has a 2-norm of at most
``(g + f + ...) sum_{t, p} b_tp ||L_t||_F ||L_p||_F``. Eigenvalues are off by as much
(Weyl), by what :func:`convspec.rounding.svd_error` allows LAPACK, and by ``u ||G||_F``
where G is rounded to single precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import FloatArray, IntArray
from convspec.rounding import frobenius_above, gamma, svd_error
from convspec.rounding.directed import UNIT
from convspec.rounding.norms import above
from convspec.rounding.products import product_error
from convspec.rounding.scaling import UNDERFLOW
from convspec.rounding.single import SINGLE
from convspec.rounding.waves import RATIONAL, rational_waves, sum_factor, wave_sums
from convspec.run.threads import parallel_map

__all__ = ["Eigenvalues", "Polynomials", "Weights", "eigenvalues"]

# matrices wider than this are decomposed in single precision where that is good enough:
# where square roots are off by less than this, relative
WIDEST_DOUBLE, ENOUGH = 256, 5e-3
# products of pairs of taps, and matrices to decompose, held at a time
CHUNK_BYTES = 2**24


@dataclass(frozen=True)
class Weights:
    """The weights of pairs of taps in one polynomial.

    Attributes:
        values: w, symmetric, each off by at most 96 u of its most; (taps, taps).
        most: b, at least the size of each; (taps, taps).
    """

    values: FloatArray
    most: FloatArray


@dataclass(frozen=True)
class Polynomials:
    """Several polynomials of the same lags.

    Attributes:
        lags: One per column of ``coefficients``; (lags, d).
        coefficients: X_q; (polynomials, groups, rows, rows, lags).
        errors: At least the 2-norm of what a computed G is off by; (polynomials, groups).
    """

    lags: IntArray
    coefficients: Tensor
    errors: Tensor

    @classmethod
    def of(
        cls,
        factors: Tensor,
        lags: IntArray,
        pairs: tuple[IntArray, IntArray],
        weights: Sequence[Weights],
    ) -> Polynomials:
        """Sum the products of pairs of taps.

        Args:
            factors: L_t; (groups, taps, rows, columns).
            lags: q_t; (taps, d).
            pairs: t and p of all pairs that meet, each pair once.
            weights: Of each polynomial.
        """
        t, p = pairs
        found, which = np.unique(lags[t] - lags[p], axis=0, return_inverse=True)
        which = which.reshape(-1)
        groups, taps, rows, columns = factors.shape
        shape = (len(weights), groups, rows, rows, len(found))
        sums = torch.zeros(shape, dtype=factors.dtype)
        halved = np.where(t == p, 0.5, 1.0)
        scale = torch.as_tensor(np.stack([w.values[t, p] * halved for w in weights]))
        at_once = max(1, CHUNK_BYTES // (groups * rows**2 * factors.element_size()))
        for q in range(len(found)):
            for some in np.array_split(
                own := np.flatnonzero(which == q), -(-len(own) // at_once)
            ):
                products = factors[:, t[some]] @ factors[:, p[some]].mH
                flat = products.transpose(0, 1).reshape(len(some), -1)
                added = scale[:, some].to(flat.dtype) @ flat
                sums[..., q] += added.reshape(shape[:-1])
        lengths = frobenius_above(factors)  # (groups, taps)
        most = torch.stack([torch.as_tensor(w.most) for w in weights])
        sizes = ((lengths @ most) * lengths).sum(-1)  # (polynomials, groups)
        is_complex = factors.is_complex()
        factor = product_error(columns, is_complex) + gamma(taps**2 + 128)
        factor += sum_factor(len(found), is_complex, RATIONAL)
        errors = above(factor * sizes, gamma(2 * taps**2 + 64))
        return cls(found, sums, torch.where(sizes > 0, errors + UNDERFLOW, errors))

    def at(self, middles: IntArray, sizes: Sequence[int]) -> Tensor:
        """G of all polynomials at ``w = pi (2 j + 1) / M``, Hermitian.

        Args:
            middles: 2 j + 1; (cells, d).
            sizes: M.

        Returns:
            (cells, polynomials, groups, rows, rows).
        """
        wave = rational_waves(self.lags, middles, [2 * size for size in sizes])
        flat = self.coefficients.flatten(0, 2)  # (polynomials * groups * rows, rows, q)
        values = wave_sums(flat, wave).reshape(len(wave), *self.coefficients.shape[:-1])
        return values + values.mH


@dataclass(frozen=True)
class Eigenvalues:
    """Eigenvalues of G at every cell, ascending, and what they are off by at most.

    Attributes:
        values: (cells, polynomials, groups, rows), float64.
        errors: (cells, polynomials, groups, 1).
    """

    values: FloatArray
    errors: FloatArray

    def below(self, polynomial: int) -> FloatArray:
        """At most the eigenvalues, and never negative, as they are not."""
        found = self.values[:, polynomial] - self.errors[:, polynomial]
        return (found * (1 - 4 * UNIT)).clip(min=0.0)

    def above(self, polynomial: int) -> FloatArray:
        """At least the eigenvalues."""
        found = self.values[:, polynomial] + self.errors[:, polynomial]
        return found.clip(min=0.0) * (1 + 4 * UNIT)


def eigenvalues(
    polynomials: Polynomials, middles: IntArray, sizes: Sequence[int], held: int
) -> Eigenvalues:
    """Eigenvalues of all polynomials at the middles of cells.

    Of wide matrices in single precision, if at the first cell its errors matter little:
    where many eigenvalues are far below the largest they do.

    Args:
        polynomials: Of matrices with entries below 2^60.
        middles: See :func:`convspec.spectrum.sums.grid.cells`.
        sizes: M.
        held: Bytes of matrices to hold at a time, about.
    """
    shape = polynomials.coefficients.shape[:-1]
    at_once = max(1, min(CHUNK_BYTES, held) // (48 * math.prod(shape)))
    single = False
    if shape[-1] > WIDEST_DOUBLE:
        single = (
            _unsure_share(_decomposed(polynomials, middles[:1], sizes, True)) < ENOUGH
        )
    pieces = parallel_map(
        lambda first: _decomposed(
            polynomials, middles[first : first + at_once], sizes, single
        ),
        range(0, len(middles), at_once),
    )
    return Eigenvalues(
        np.concatenate([piece.values for piece in pieces]),
        np.concatenate([piece.errors for piece in pieces]),
    )


def _decomposed(
    polynomials: Polynomials, middles: IntArray, sizes: Sequence[int], single: bool
) -> Eigenvalues:
    """Eigenvalues at some cells, all at once, in single or double precision."""
    matrices = polynomials.at(middles, sizes)
    rows = matrices.shape[-1]
    bounds = polynomials.errors[..., None].numpy()
    off = np.broadcast_to(bounds, (len(matrices), *bounds.shape))
    eps = 2 * UNIT
    if single:
        eps = 2 * SINGLE
        length = torch.linalg.vector_norm(matrices, dim=(-2, -1))[..., None]
        matrices = matrices.to(torch.complex64)
        off = off + 2 * SINGLE * length.numpy() + 2.0**-100
    found = torch.linalg.eigvalsh(matrices).to(torch.float64).numpy()
    largest = np.abs(found).max(axis=-1, keepdims=True)
    allowed = svd_error(rows, rows, 1.0, eps) * (1 + 1e-3)
    return Eigenvalues(found, (off + allowed * largest) * (1 + 16 * UNIT))


def _unsure_share(found: Eigenvalues) -> float:
    """By how much sums of square roots may be off, relative."""
    least, most = found.values - found.errors, found.values + found.errors
    width = np.sqrt(most.clip(min=0.0)) - np.sqrt(least.clip(min=0.0))
    total = float(np.sqrt(found.values.clip(min=0.0)).sum())
    return float(width.sum()) / total if total else 0.0
