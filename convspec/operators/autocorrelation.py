"""The coefficients of the Gram polynomial ``G(w) = F(w) F(w)^H``, and their rounding.

From ``F(w) = sum_p C_p exp(i <p, w>)`` follows ``G(w) = sum_q G_q exp(i <q, w>)`` with
``G_q = sum_p C_{p+q} C_p^H``, the autocorrelation of C. As ``G_{-q} = G_q^H``, one of
each {q, -q} is kept, and half of G_0:

    G(w) = X(w) + X(w)^H,   X(w) = sum_q X_q exp(i <q, w>),   X_0 = G_0 / 2,  X_q = G_q.

*Rounded plainly*, an entry of ``C_{p+q} C_p^H`` is a sum of m products, m the columns,
and at most n such entries are added up, n the number of lags. So it is off by at most
``g sum_p |C_{p+q}| |C_p|^H``, g that of a product with m + n inner terms
(:func:`product_error`). Over all differences, q and -q, with ``S = sum_p |C_p|``,

    || sum_q |fl(G_q) - G_q| ||_F <= g || S S^T ||_F <= g ||S||_F^2.

*Split*, ``C = H + L`` with so few bits in H that all of ``H_{p+q} H_p^H`` adds up
exactly. What is left, ``H L^H + L C^H``, is of the order of L, so G is as good as rounded
once, however much of it cancels (Ozaki et al., "Error-free transformations of matrix
multiplication by using fast routines of matrix multiplication", Numerical Algorithms 59,
2012). The rest is a product with 2 m inner terms, of sizes ``(S + R) R^T`` and ``R S^T``
with ``R = sum_p |L_p|`` as ``|H| <= |C| + |L|``: off by ``g (2 ||S|| + ||R||) ||R||``.

*Evaluated* from such a table, each sum of products with waves is off by a factor f
(:func:`convspec.rounding.waves.sum_factor`) times what it adds up in size, so G(w) by

    ||fl(G(w)) - G(w)||_2 <= f || sum_q |G_q| ||_inf + || sum_q |fl(G_q) - G_q| ||_2:

the sum over q and -q is symmetric, and of symmetric matrices the largest row sum is at
least the 2-norm. In all of this ``||.||_2 <= || |.| ||_2`` is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.operators.lags import LagPairs, most_differences
from convspec.rounding.directed import UNIT, gamma
from convspec.rounding.norms import above
from convspec.rounding.products import product_error
from convspec.rounding.scaling import UNDERFLOW, ldexp, real_parts

__all__ = ["PAIRS", "Autocorrelation", "half_coefficients"]

# products of pairs of lags held at a time, numbers; more where fewer columns of a matrix
# would be multiplied than these
PAIRS, COLUMNS = 2**18, 16
# exponent of the least weights that are split: products of lesser parts may underflow
LEAST = -400


@dataclass(frozen=True)
class Autocorrelation:
    """X_q for one of each {q, -q}, float64 or complex128, and what they are off by.

    Attributes:
        lags: q, in the order of :class:`LagPairs`, 0 first; (j, d).
        coefficients: X_q; (j, groups, n, n).
        error: At least ``|| sum_q |fl(G_q) - G_q| ||_2`` over all q and -q; (groups,).
    """

    lags: IntArray
    coefficients: Tensor
    error: Tensor

    @classmethod
    def rounded(cls, C: Tensor, lags: IntArray) -> Autocorrelation:
        """The coefficients as plain sums round them; differentiable.

        Args:
            C: (groups, rows, columns, lags), entries below 2^60.
            lags: (lags, d).
        """
        pairs = LagPairs.of(lags)
        _, rows, columns, taps = C.shape
        factor = product_error(columns + taps, C.is_complex())
        error = factor * _absolute_norm(C.detach()).square() + UNDERFLOW
        error = above(error, gamma(2 * (taps + rows * columns) + 16))
        return cls(pairs.lags, half_coefficients(C, pairs), error)

    @classmethod
    def split(cls, C: Tensor, lags: IntArray) -> Autocorrelation:
        """The coefficients as good as rounded once; arguments of :meth:`rounded`.

        Their error is inf for groups of weights that are too small to be split.
        """
        pairs = LagPairs.of(lags)
        parts = 2 if C.is_complex() else 1
        terms = parts * C.shape[2] * C.shape[3]
        high = _leading_bits(C, (51 - math.ceil(math.log2(terms))) // 2)
        low = C - high
        left, right = torch.cat((high, low), dim=2), torch.cat((low, C), dim=2)
        sorted_high = _by_lag(high, pairs)
        sums = _pair_sums(sorted_high, sorted_high, pairs)
        sums += _pair_sums(_by_lag(left, pairs), _by_lag(right, pairs), pairs)
        sums[0] /= 2
        _, rows, columns, taps = C.shape
        factor = product_error(2 * columns + taps, C.is_complex())
        whole, rest = _absolute_norm(C), _absolute_norm(low)
        error = factor * (2 * whole + rest) * rest + UNIT * _size(sums)
        error = above(error, gamma(2 * taps**2 + 2 * rows * columns + 16))
        largest = _largest(C)
        tiny = (largest > 0) & (largest < 2.0**LEAST)
        return cls(pairs.lags, sums, torch.where(tiny, math.inf, error))

    def evaluation_error(self, factor: float) -> Tensor:
        """At least the 2-norm of the error of a computed G(w); (groups,).

        Args:
            factor: f, by how much the sums with waves are off.
        """
        error = self.error + factor * _size(self.coefficients.detach())
        lags, _, rows, _ = self.coefficients.shape
        return above(error, gamma(lags + rows + 16))

    @staticmethod
    def bytes_of(C: Tensor, lags: IntArray) -> int:
        """What :meth:`rounded` takes besides C, at most about."""
        groups, rows, _, taps = C.shape
        each = groups * rows**2 * C.element_size()
        at_once = min(taps, _at_once(groups, taps, rows))
        copies = 1 if groups * at_once == 1 else 3
        products = copies * taps * at_once * each
        pairs = 8 * taps**2 * (lags.shape[1] + 5)
        return int(most_differences(lags) * each + products + 2 * C.nbytes + pairs)


def half_coefficients(C: Tensor, pairs: LagPairs) -> Tensor:
    """X_q for the differences of some pairs; differentiable, in any precision.

    Args:
        C: (groups, rows, columns, lags).
        pairs: The pairs of these lags.

    Returns:
        (j, groups, rows, rows).
    """
    factors = _by_lag(C, pairs)
    sums = _pair_sums(factors, factors, pairs)
    sums[0] /= 2
    return sums


def _by_lag(C: Tensor, pairs: LagPairs) -> Tensor:
    """(groups, lags, rows, columns), the lags in the order of the pairs."""
    order = torch.as_tensor(pairs.order, device=C.device)
    return C.permute(0, 3, 1, 2)[:, order].contiguous()


def _pair_sums(left: Tensor, right: Tensor, pairs: LagPairs) -> Tensor:
    """``sum left_t right_p^H`` over the pairs (t, p) of each difference.

    Args:
        left: (groups, lags, rows, inner).
        right: The same shape.
        pairs: The pairs of these lags.

    Returns:
        (j, groups, rows, rows).
    """
    groups, taps, rows, _ = left.shape
    sums = left.new_zeros((len(pairs.lags), groups, rows, rows))
    at_once = _at_once(groups, taps, rows)
    for first in range(0, taps, at_once):
        later, some = left[:, first:], right[:, first : first + at_once]
        products = later.flatten(1, 2) @ some.flatten(1, 2).mH
        products = products.reshape(groups, -1, rows, some.shape[1], rows)
        products = products.permute(1, 3, 0, 2, 4).flatten(0, 1)
        places = pairs.places[first:, first : first + at_once].reshape(-1)
        if at_once > 1:  # without the pairs whose difference is a -q
            kept = np.flatnonzero(places >= 0)
            products, places = products[torch.as_tensor(kept)], places[kept]
        sums.index_add_(0, torch.as_tensor(places, device=sums.device), products)
    return sums


def _at_once(groups: int, taps: int, rows: int) -> int:
    """With how many lags the others are multiplied at a time."""
    return max(-(-COLUMNS // rows), PAIRS // (groups * taps * rows**2))


def _leading_bits(C: Tensor, bits: int) -> Tensor:
    """The multiples of ``2^-bits`` times the power of 2 above each group's largest."""
    parts = real_parts(C)
    exponent = torch.frexp(_largest(C)).exponent.clamp(min=LEAST) - bits
    exponent = exponent.to(torch.int64).reshape(-1, *[1] * (parts.ndim - 1))
    rounded = ldexp(ldexp(parts, -exponent).round(), exponent)
    return torch.view_as_complex(rounded) if C.is_complex() else rounded[..., 0]


def _largest(C: Tensor) -> Tensor:
    """The largest real or imaginary part of each group, in absolute value; (groups,)."""
    return real_parts(C).abs().flatten(1).amax(dim=1)


def _absolute_norm(C: Tensor) -> Tensor:
    """``||S||_F`` of each group, about: its square but for rounding and underflow."""
    length: Tensor = torch.linalg.vector_norm(C.abs().sum(-1), dim=(1, 2))
    return length


def _size(half: Tensor) -> Tensor:
    """``|| sum_q |G_q| ||_inf`` over all q and -q of X_q, but for rounding; (groups,).

    No squares are taken, which underflow for groups much smaller than others.
    """
    total = half.abs().sum(dim=0)
    return (total + total.mT).sum(dim=-1).amax(dim=-1)
