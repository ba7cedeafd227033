"""Gram matrices of the symbol at the frequencies of a torus, by their own polynomial.

``F(w)^H F(w) = sum_q G_q exp(i <q, w>)`` with ``G_q = sum_p C_p^H C_{p+q}`` is a
trigonometric polynomial too. Where one side of F is much the smaller, evaluating it
skips the long side at every frequency.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.operators.lags import lag_differences
from convspec.operators.symbol import Symbol
from convspec.rounding.blocks import root_values
from convspec.rounding.waves import rational_waves

__all__ = ["PAIRS", "TorusGram"]

EPS = float(np.finfo(np.float64).eps)
# products of pairs of taps held at a time, numbers
PAIRS = 2**18
# exponent of the least weights taken
LEAST = -400


class TorusGram:
    """The smaller of ``F^H F`` and ``conj(F F^H)`` at the frequencies of a torus.

    The coefficients G are sums of many products, of both signs, much smaller than their
    terms. The weights are cut in two, ``C = H + L`` with so few bits in H that all of
    ``H^H H`` adds up exactly; what is left is of the order of L, so that G is as good as
    rounded once (Ozaki et al., "Error-free transformations of matrix multiplication by
    using fast routines of matrix multiplication", Numerical Algorithms 59, 2012).

    As ``G_{-q} = G_q^H``, half of the lags of the last axis are kept. The other axes are
    summed first, over the rows of frequencies that share them, then the last one.

    Attributes:
        error: Bound on the norm error of each group's matrices; (groups,).
    """

    def __init__(self, symbol: Symbol, shape: tuple[int, ...]) -> None:
        self.shape = shape
        coefficients = symbol.coefficients
        rows, columns = symbol.block_shape
        if rows < columns:
            coefficients = coefficients.transpose(1, 2)
        factors = coefficients.permute(0, 3, 2, 1)  # (groups, taps, small, large)
        lags, pairs = lag_differences(symbol.lags)
        gram, cut = _correlate(factors, pairs, len(lags))
        half = lags[:, -1] >= 0
        lags, gram = lags[half], gram[torch.as_tensor(half, device=gram.device)]
        # of lags 0 along the last axis each is met twice: once as its mirror
        middle = torch.as_tensor(lags[:, -1] == 0, device=gram.device)
        gram = torch.where(middle[:, None, None, None], gram / 2, gram)
        front, place = np.unique(lags[:, :-1], axis=0, return_inverse=True)
        self._front, self._last = front, np.unique(lags[:, -1])
        place = place.reshape(-1) * len(self._last)
        place += np.searchsorted(self._last, lags[:, -1])
        table = gram.new_zeros((len(front) * len(self._last), *gram.shape[1:]))
        table[torch.as_tensor(place, device=gram.device)] = gram
        self._table = table.reshape(len(front), -1).to(torch.complex128)
        self._block = tuple(gram.shape[1:])
        total = gram.abs().sum(dim=0)
        total = torch.linalg.matrix_norm(total + total.mT).cpu().numpy()
        self.error: npt.NDArray[np.float64] = cut + self._roundings() * EPS * total

    @staticmethod
    def pays(symbol: Symbol, count: int) -> bool:
        """Whether it takes fewer operations than ``count`` blocks and their products."""
        small, taps = min(symbol.block_shape), len(symbol.lags)
        return symbol.dim > 0 and taps**2 * small < count * (taps + small)

    def values_at(self, index: IntArray, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Singular values of the blocks at ``w = 2 pi index / shape``, and their errors.

        Args:
            index: Places on the grid; (j, d).
            dtype: Complex, the arithmetic of the eigenvalues.

        Returns:
            (j, groups, small), descending, and a bound for each block; (j, groups).
        """
        gram = self.at(index).to(dtype)
        rounded = 0.0 if dtype == torch.complex128 else torch.finfo(dtype).eps
        error = torch.as_tensor(self.error, device=gram.device)
        return root_values(gram, rounded, error)

    def _roundings(self) -> float:
        """How often eps times ``sum_q |G_q|`` bounds the error of the evaluation.

        An angle carries three roundings of a number below 2 pi, its sine and cosine one
        each, a product of two waves three: 12 per axis. The real and imaginary parts of
        the sums over l lags are sums of 2 l products, each of at most ``(|.| + |.|) /
        2`` eps per term and rounding: ``2 l`` for both parts of a complex number. Six for
        the coefficients, the sum with the mirror and the sum of these.
        """
        return 12 * len(self.shape) + 2 * len(self._front) + 2 * len(self._last) + 6

    def at(self, index: IntArray) -> Tensor:
        """At ``w = 2 pi index / shape``, (j, d): (j, groups, small, small)."""
        grid = (1, *self.shape[:-1])  # one axis has no front
        places = (np.zeros(len(index), dtype=np.int64), *index[:, :-1].T)
        first, row = _distinct(np.ravel_multi_index(places, grid), math.prod(grid))
        ends, column = _distinct(index[:, -1], self.shape[-1])
        rows = self._rows(np.array(np.unravel_index(first, grid))[1:].T, ends)
        device = rows.device
        if len(index) < len(first) * len(ends):
            rows = rows[
                torch.as_tensor(row, device=device),
                torch.as_tensor(column, device=device),
            ]
        return rows.reshape(len(index), *self._block)

    def _rows(self, fronts: IntArray, ends: IntArray) -> Tensor:
        """At all pairs of one of ``fronts`` and one of ``ends``, in this order."""
        device = self._table.device
        wave = np.ones((len(fronts), len(self._front)), dtype=np.complex128)
        for j, size in enumerate(self.shape[:-1]):
            wave *= rational_waves(self._front[:, [j]], fronts[:, [j]], (size,)).numpy()
        sums = torch.as_tensor(wave, device=device) @ self._table
        sums = sums.reshape(len(fronts), len(self._last), *self._block)
        # exp(i a) X + exp(-i a) X^H = cos(a) (X + X^H) + sin(a) i (X - X^H)
        mirrored = sums.mH
        pair = torch.cat((sums + mirrored, 1j * (sums - mirrored)), dim=1)
        last = rational_waves(self._last[:, None], ends[:, None], self.shape[-1:])
        waves = torch.cat((last.real, last.imag), dim=1).to(device)
        parts = waves @ torch.view_as_real(pair).flatten(2)
        shape = (len(fronts), len(ends), *self._block, 2)
        return torch.view_as_complex(parts.reshape(shape))


def _distinct(numbers: IntArray, size: int) -> tuple[IntArray, IntArray]:
    """The distinct ones of numbers below ``size``, sorted, and which one each is."""
    present = np.zeros(size, dtype=bool)
    present[numbers] = True
    place = np.cumsum(present) - 1
    return np.flatnonzero(present), place[numbers]


def _correlate(
    factors: Tensor, pairs: IntArray, count: int
) -> tuple[Tensor, npt.NDArray[np.float64]]:
    """``sum conj(X_p) X_t^T`` over the pairs of taps (p, t) of each lag.

    Args:
        factors: X; (groups, taps, small, large).
        pairs: The lag of each pair; (taps, taps).
        count: Number of lags.

    Returns:
        (count, groups, small, small), and a bound for each group on the Frobenius norm
        of the sum of the absolute errors, but for one rounding of each number.
    """
    terms = factors.shape[1] * factors.shape[3] * (2 if factors.is_complex() else 1)
    high = _leading_bits(factors, (51 - math.ceil(math.log2(terms))) // 2)
    low = factors - high
    exact = _by_lag(high, high, pairs, count)
    left, right = torch.cat((high, low), dim=-1), torch.cat((low, factors), dim=-1)
    gram = exact + _by_lag(left, right, pairs, count)
    largest = _largest(factors)
    whole, rest = (_spread(part) for part in (factors, low))
    # twice the terms, of sizes |high| |low| and |low| |factors|; |high| <= whole + rest
    error = 4 * (terms + 2) * EPS * (whole + rest) * rest
    # their products would underflow
    tiny = (largest > 0) & (largest < 2.0**LEAST)
    return gram, np.where(tiny, np.inf, error)


def _leading_bits(factors: Tensor, bits: int) -> Tensor:
    """The multiples of ``2^-bits`` times the power of 2 above each group's largest."""
    parts = torch.view_as_real(factors) if factors.is_complex() else factors
    unit = np.ldexp(1.0, np.maximum(np.frexp(_largest(factors))[1], LEAST) - bits)
    units = torch.as_tensor(unit, device=parts.device)
    units = units.reshape(-1, *[1] * (parts.ndim - 1))
    rounded = torch.round(parts / units) * units
    return torch.view_as_complex(rounded) if factors.is_complex() else rounded


def _largest(factors: Tensor) -> npt.NDArray[np.float64]:
    """The largest real or imaginary part of each group, in absolute value."""
    parts = torch.view_as_real(factors) if factors.is_complex() else factors
    largest: npt.NDArray[np.float64] = parts.abs().flatten(1).amax(dim=1).cpu().numpy()
    return largest


def _spread(factors: Tensor) -> npt.NDArray[np.float64]:
    """The Frobenius norm of the sum of the taps' absolute values, per group."""
    total = torch.linalg.matrix_norm(factors.abs().sum(dim=1))
    spread: npt.NDArray[np.float64] = total.cpu().numpy()
    return spread


def _by_lag(left: Tensor, right: Tensor, pairs: IntArray, count: int) -> Tensor:
    """``sum conj(left_p) right_t^T`` by lag, for some p at a time."""
    groups, taps, small, _ = left.shape
    sums = left.new_zeros((count, groups, small, small))
    every = right.flatten(1, 2).mT
    at_once = max(1, PAIRS // (groups * taps * small**2))
    for first in range(0, taps, at_once):
        some = left[:, first : first + at_once].conj()
        products = (some.flatten(1, 2) @ every).reshape(groups, -1, small, taps, small)
        which = torch.as_tensor(pairs[first : first + at_once].reshape(-1))
        products = products.permute(1, 3, 0, 2, 4).flatten(0, 1)
        sums.index_add_(0, which.to(sums.device), products)
    return sums
