"""Gram matrices of the symbol at the frequencies of a torus, by their own polynomial.

Where one side of F is much the smaller, evaluating ``F F^H`` as a trigonometric
polynomial (:mod:`convspec.operators.autocorrelation`) skips the long side at every
frequency.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import FloatArray, IntArray
from convspec.operators.autocorrelation import Autocorrelation
from convspec.operators.symbol import Symbol
from convspec.rounding.blocks import root_values
from convspec.rounding.directed import up
from convspec.rounding.waves import RATIONAL, RATIONAL_AXES, rational_waves, sum_factor

__all__ = ["TorusGram"]


class TorusGram:
    """The smaller of ``F F^H`` and ``F^T conj(F)`` at the frequencies of a torus.

    The lags but for their last axis are summed first, over the rows of frequencies that
    share them, then the last one: ``X(w) = sum_l exp(i l w_d) X_l``, and G is the sum of
    ``exp(i l w_d) X_l`` and its mirror. Its coefficients are sums of many products, of
    both signs, much smaller than their terms, so these are split.

    Attributes:
        error: Bound on the norm error of each group's matrices; (groups,).
    """

    def __init__(self, symbol: Symbol, shape: tuple[int, ...]) -> None:
        self.shape = shape
        coefficients = symbol.coefficients
        rows, columns = symbol.block_shape
        if rows > columns:
            coefficients = coefficients.transpose(1, 2)
        half = Autocorrelation.split(coefficients, symbol.lags)
        each = half.coefficients
        front, place = np.unique(half.lags[:, :-1], axis=0, return_inverse=True)
        self._front, self._last = front, np.unique(half.lags[:, -1])
        place = place.reshape(-1) * len(self._last)
        place += np.searchsorted(self._last, half.lags[:, -1])
        table = each.new_zeros((len(front) * len(self._last), *each.shape[1:]))
        table[torch.as_tensor(place, device=each.device)] = each
        self._table = table.reshape(len(front), -1).to(torch.complex128)
        self._block = tuple(each.shape[1:])
        error = half.evaluation_error(self._factor(each.is_complex()))
        self.error: FloatArray = error.cpu().numpy()

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

    def _factor(self, is_complex: bool) -> float:
        """By how much both stages of a sum are off, by :func:`sum_factor` each.

        The second one sums what the first has made, which is complex unless real weights
        have one axis, whose first stage is to copy.
        """
        axes = len(self.shape) - 1
        wave = RATIONAL_AXES[max(axes - 1, 0)]
        first = sum_factor(len(self._front), is_complex, wave) if axes else 0.0
        last = sum_factor(len(self._last), is_complex or axes > 0, RATIONAL)
        return up(first + last * (1 + first), 3)

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
