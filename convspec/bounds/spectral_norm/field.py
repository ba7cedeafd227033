"""The symbol of a torus at any frequency, compared with a level by Cholesky tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.bounds.spectral_norm.parts import Parts
from convspec.errors import TooLargeError
from convspec.frequency.gram import Gram, gram_of
from convspec.frequency.reduced import ReducedSymbol
from convspec.operators.symbol import Symbol
from convspec.rounding.definite import at_most
from convspec.rounding.directed import UNIT, down, down_nonnegative, up
from convspec.rounding.norms import above, frobenius_above
from convspec.rounding.scaling import ldexp_above, ldexp_below
from convspec.run.threads import available_cores, parallel_map

__all__ = ["Field", "TorusGrid"]

CHUNK_BYTES = 2**25
LEAST_CHUNK = 4
# what a test holds of an evaluation: itself, shifted, its factor
MADE_OF_MATRICES = 8
# less than this is not worth a thread: bytes of matrices times their side
CHUNK_WORK = 2**23


@dataclass(frozen=True)
class TorusGrid:
    """Frequencies ``w = 2 pi index / sizes`` of the reduced symbol.

    Attributes:
        index: (j, d).
        sizes: (N_1, ..., N_d).
        multiplicity: How many frequencies of the torus each stands for; (j,).
    """

    index: IntArray
    sizes: tuple[int, ...]
    multiplicity: IntArray

    @property
    def turns(self) -> Tensor:
        """The frequencies in turns, about ``w / 2 pi``; (j, d)."""
        return torch.as_tensor(self.index % self.sizes / np.array(self.sizes))


@dataclass(frozen=True)
class Field:
    """sigma_1 of the symbol of a torus as a function of frequency.

    The phases of a torus choose frequencies, the symbol is that of all of them.

    Attributes:
        symbol: Reduced to the frequencies that matter, and scaled.
        gram: Its Gram polynomial.
        merging: At least by how much a singular value of the torus is above or below that
            of this symbol, unscaled: what adding up coinciding taps rounds.
        room: Bytes of matrices that may be held at a time, on each core.
    """

    symbol: ReducedSymbol
    gram: Gram
    merging: float
    room: int = CHUNK_BYTES

    @classmethod
    def of(cls, parts: Parts, max_bytes: int) -> Field | None:
        """The symbol of parts with no exact axis; None if it is constant or too large."""
        symbol = ReducedSymbol.of(Symbol(parts.coefficients[:, 0], parts.lags))
        if not symbol.dim:
            return None
        merging = max(parts.merging(group) for group in range(symbol.groups))
        try:
            gram = gram_of(symbol, max_bytes // 2)
        except TooLargeError:
            return None
        room = max_bytes // (MADE_OF_MATRICES * available_cores())
        return cls(symbol, gram, merging, room)

    @staticmethod
    def setup_flops(parts: Parts) -> float:
        """Estimated operations of the table of products of taps."""
        groups, _, rows, columns, lags = parts.coefficients.shape
        small, large = sorted((rows, columns))
        return 2.0 * groups * lags * (lags + 1) * small**2 * large

    @property
    def flops(self) -> float:
        """Estimated operations of one test."""
        side, lags = self.symbol.side, len(self.symbol.lags)
        return 4 / 3 * side**3 + 4.0 * (2 * lags) * side**2 + 1e3

    @property
    def slack(self) -> float:
        """What a test needs, relative to the square of the level, about."""
        side = self.symbol.side
        return 4 * side * (2 * side + 16) * UNIT

    def scaled(self, level: float) -> float:
        """A level for the scaled symbol that proves one for the torus, or 0."""
        least = down_nonnegative(level - self.merging) if self.merging else level
        value = torch.tensor(least, dtype=torch.float64)
        return float(ldexp_below(value, -self.symbol.exponent))

    def unscaled(self, level: float) -> float:
        """A level for the torus that is proven by one for the scaled symbol."""
        value = torch.tensor(level, dtype=torch.float64)
        found = float(ldexp_above(value, self.symbol.exponent))
        return up(found + self.merging) if self.merging else found

    def grid(self, parts: Parts) -> TorusGrid:
        """The frequencies of parts, as those of the reduced symbol."""
        axes, steps = list(self.symbol.axes), np.array(self.symbol.steps, dtype=np.int64)
        sizes = tuple(parts.grid[j] for j in axes)
        return TorusGrid(parts.index[:, axes] * steps % sizes, sizes, parts.multiplicity)

    def below(
        self, groups: Tensor, grid: TorusGrid, places: IntArray, level: float
    ) -> Tensor:
        """Where ``sigma_1 <= level`` is proven, for the scaled symbol.

        Args:
            groups: Ascending; (k,).
            grid: The grid.
            places: Rows of its index, one for each group; (k,).
            level: What to prove.
        """
        passed = torch.zeros(len(groups), dtype=torch.bool)

        def examine(first: int) -> None:
            some = slice(first, first + size)
            index = grid.index[places[some]]
            matrices = self.gram.at_grid(groups[some], index, grid.sizes)
            error = self.gram.error[groups[some]]
            passed[some] = at_most_squared(matrices, down(level * level), error)

        size = self.chunk(len(groups))
        parallel_map(examine, range(0, len(groups), size))
        return passed

    def chunk(self, count: int) -> int:
        """How many matrices to hold at a time, to keep all cores busy."""
        each = self.gram.bytes_each
        size = min(CHUNK_BYTES // each, -(-count // available_cores()))
        size = max(LEAST_CHUNK, CHUNK_WORK // each // self.symbol.side, size)
        return max(1, min(size, self.room // each))


def at_most_squared(matrices: Tensor, level: float, error: Tensor) -> Tensor:
    """Whether ``lambda_max(G) <= level`` is proven: (b, n, n) known up to (b,)."""
    passed = above(frobenius_above(matrices) + error, 2 * UNIT) <= level
    left = (~passed).nonzero()[:, 0]
    if len(left) and matrices.shape[-1] > 1:
        ceiling = torch.tensor(level, dtype=torch.float64)
        passed[left] = at_most(matrices[left], ceiling, error[left])
    return passed
