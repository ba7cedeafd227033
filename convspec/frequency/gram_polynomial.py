"""The Gram polynomial ``G(w) = F(w) F(w)^H``, evaluated with a bound on its error.

With X_q of :mod:`convspec.operators.autocorrelation`, ``G = sum_q cos<q, w> (X_q + X_q^H)
+ sin<q, w> i (X_q - X_q^H)``: real combinations of Hermitian matrices. That costs one
multiplication per lag and entry, far fewer than a product of two matrices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.frequency.reduced import ReducedSymbol
from convspec.operators.autocorrelation import Autocorrelation
from convspec.operators.lags import most_differences
from convspec.rounding.directed import UNIT
from convspec.rounding.norms import above, norm_above, sum_above
from convspec.rounding.waves import (
    RATIONAL,
    rational_waves,
    sum_factor,
    wave_error,
    waves,
)

__all__ = ["CALL", "GramPolynomial", "group_runs"]

# what a matrix takes besides its own operations, in operations
CALL = 5000.0

# a product per group beats one product per matrix from this side on, and from so many
# matrices per group
GATHER_SIDE = 12
GATHER_ITEMS = 8


class GramPolynomial:
    """G of every group, and how far an evaluation is from it.

    Attributes:
        error: At least the 2-norm of the error of each group's evaluations; (groups,).
    """

    def __init__(self, symbol: ReducedSymbol) -> None:
        self.side = symbol.side
        self.real = not symbol.is_complex
        table = Autocorrelation.rounded(symbol.coefficients, symbol.lags)
        self.lags = table.lags[1:]
        half = table.coefficients.transpose(0, 1)  # (groups, 1 + lags, n, n)
        self._even = (half + half.mH).reshape(*half.shape[:2], -1)
        self._odd = (half - half.mH)[:, 1:].reshape(symbol.groups, -1, self.side**2)
        # (groups, lags): at least ||G_q|| but for what self.error accounts for
        self._sizes = norm_above(half[:, 1:])
        wave = max(wave_error(self.lags), RATIONAL)
        factor = sum_factor(len(table.lags), symbol.is_complex, wave)
        self.error = table.evaluation_error(factor)

    def bend(self, spans: Sequence[float]) -> Tensor:
        """How much less than at an extreme a value of G can be within a cell; (groups,).

        For fixed v, ``v^H G v`` has the second derivative ``-sum_{q > 0} 2 Re v^H G_q v
        <q, d>^2 exp(i <q, w>)`` along d, so from a point where its first one is 0 it
        changes by at most ``sum_{q > 0} ||G_q|| <q, d>^2``.

        Args:
            spans: Of the cells, see :class:`Cells`.
        """
        steps = 2 * math.pi * self.lags * np.array(spans)
        steps = np.abs(steps)
        reach = steps[:, :2].max(1) + steps[:, 2:].sum(1)
        squares = torch.from_numpy(reach**2)
        total = sum_above(self._sizes * squares, -1, 12)
        return above(total + self.error * squares.max(), 12 * UNIT)

    @staticmethod
    def bytes_of(symbol: ReducedSymbol) -> int:
        """What forming the tables takes, about: X, then the two made of it."""
        lags = most_differences(symbol.lags)
        each = symbol.groups * symbol.side**2 * symbol.coefficients.element_size()
        formed = Autocorrelation.bytes_of(symbol.coefficients, symbol.lags)
        return max(formed, 4 * lags * each)

    @property
    def flops_each(self) -> float:
        """Operations of one evaluation and one Cholesky test, about."""
        lags = (1 + 2 * len(self.lags)) * (1 if self.real else 2)
        return CALL + 2.0 * lags * self.side**2 + 4 / 3 * self.side**3

    @property
    def bytes_each(self) -> int:
        """What one evaluation takes, at most about."""
        lags = 1 + 2 * len(self.lags)
        copied = lags * self.side**2 if self.side < GATHER_SIDE else lags
        return 16 * (2 * self.side**2 + copied)

    def at(self, groups: Tensor, turns: Tensor, *, single: bool = False) -> Tensor:
        """G of ``groups[k]`` at ``w = 2 pi turns[k]``: (k,), (k, d) -> (k, n, n).

        The groups must be in ascending order.

        Args:
            groups: Which groups.
            turns: Where.
            single: Whether to round the values, evaluated as ever, to complex64.
        """
        dtype = torch.complex64 if single else torch.complex128
        return self._of_waves(groups, *waves(turns, self.lags), dtype)

    def at_grid(self, groups: Tensor, index: IntArray, grid: Sequence[int]) -> Tensor:
        """G of ``groups[k]`` at ``w = 2 pi index[k] / grid``; (k, n, n)."""
        wave = rational_waves(self.lags, index, grid)
        return self._of_waves(groups, wave.real, wave.imag)

    def _of_waves(
        self,
        groups: Tensor,
        cosines: Tensor,
        sines: Tensor,
        dtype: torch.dtype = torch.complex128,
    ) -> Tensor:
        cosines = torch.cat([cosines.new_ones((len(groups), 1)), cosines], 1)
        even = self._combine(groups, cosines, self._even)
        odd = self._combine(groups, sines, self._odd)
        if self.real:
            values = torch.complex(even.to(dtype.to_real()), odd.to(dtype.to_real()))
        else:
            values = (even + 1j * odd).to(dtype)
        return values.reshape(-1, self.side, self.side)

    def _combine(self, groups: Tensor, factors: Tensor, table: Tensor) -> Tensor:
        """``sum_q factors[k, q] table[groups[k], q]``: (k, n n)."""
        if len(table) == 1:
            return _real_combination(factors, table[0])
        runs = group_runs(groups)
        if self.side < GATHER_SIDE and len(groups) < GATHER_ITEMS * len(runs):
            return _real_combination(factors[:, None, :], table[groups])[:, 0]
        return torch.cat(
            [_real_combination(factors[run], table[group]) for group, run in runs]
        )


def group_runs(groups: Tensor) -> list[tuple[int, slice]]:
    """Each group of an ascending list, and where it stands there."""
    counts = torch.bincount(groups)
    present = counts.nonzero()[:, 0]
    ends = counts[present].cumsum(0)
    starts = ends - counts[present]
    bounds = zip(starts.tolist(), ends.tolist(), strict=True)
    return [
        (group, slice(*ends))
        for group, ends in zip(present.tolist(), bounds, strict=True)
    ]


def _real_combination(factors: Tensor, table: Tensor) -> Tensor:
    """Real factors times a real or complex table, in real products."""
    if not table.is_complex():
        return factors @ table
    parts = torch.view_as_real(table).flatten(-2)
    combined = factors @ parts
    return torch.view_as_complex(combined.reshape(*combined.shape[:-1], -1, 2))
