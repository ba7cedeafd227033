"""``G(w) = F(w) F(w)^H`` from F itself, for kernels with too many taps for a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.frequency.gram_polynomial import CALL, group_runs
from convspec.frequency.reduced import ReducedSymbol
from convspec.rounding.directed import UNIT, up
from convspec.rounding.norms import above
from convspec.rounding.products import product_error
from convspec.rounding.scaling import UNDERFLOW
from convspec.rounding.waves import (
    RATIONAL,
    rational_waves,
    sum_factor,
    wave_error,
    wave_sums,
    waves,
)

__all__ = ["DirectGram"]


class DirectGram:
    """G of every group, and how far an evaluation is from it.

    Attributes:
        error: At least the 2-norm of the error of each group's evaluations; (groups,).
    """

    def __init__(self, symbol: ReducedSymbol) -> None:
        self.side = symbol.side
        self._symbol = symbol
        columns, count = symbol.coefficients.shape[2:]
        # of F, and of the product: 2 ||F|| dF + dF^2 + g ||F||_F^2
        wave = max(wave_error(symbol.lags), RATIONAL)
        first = sum_factor(count, symbol.is_complex, wave)
        factor = up(2 * first + 2 * product_error(columns, True), 4)
        self.error = above(factor * above(symbol.spread**2), 8 * UNIT) + UNDERFLOW

    def bend(self, spans: Sequence[float]) -> Tensor:
        """No bound is known here: inf; (groups,)."""
        return torch.full_like(self.error, math.inf)

    @staticmethod
    def bytes_of(symbol: ReducedSymbol) -> int:
        """What one evaluation takes, about."""
        rows, columns, count = symbol.coefficients.shape[1:]
        return 16 * (2 * rows * columns + 2 * count + rows**2)

    @property
    def flops_each(self) -> float:
        """Operations of one evaluation and one Cholesky test, about."""
        rows, columns, count = self._symbol.coefficients.shape[1:]
        sums = (8.0 if self._symbol.is_complex else 4.0) * count * rows * columns
        return CALL + sums + 8.0 * rows**2 * columns + 4 / 3 * rows**3

    @property
    def bytes_each(self) -> int:
        """What one evaluation takes, about."""
        return self.bytes_of(self._symbol)

    def at(self, groups: Tensor, turns: Tensor, *, single: bool = False) -> Tensor:
        """G of ``groups[k]`` at ``w = 2 pi turns[k]``; see :meth:`GramPolynomial.at`."""
        wave = torch.complex(*waves(turns, self._symbol.lags))
        values = self._of_waves(groups, wave)
        return values.to(torch.complex64) if single else values

    def at_grid(self, groups: Tensor, index: IntArray, grid: Sequence[int]) -> Tensor:
        """G of ``groups[k]`` at ``w = 2 pi index[k] / grid``; (k, n, n)."""
        return self._of_waves(groups, rational_waves(self._symbol.lags, index, grid))

    def _of_waves(self, groups: Tensor, wave: Tensor) -> Tensor:
        found = []
        for group, run in group_runs(groups):
            F = wave_sums(self._symbol.coefficients[group], wave[run])
            found.append(F @ F.mH)
        return torch.cat(found)
