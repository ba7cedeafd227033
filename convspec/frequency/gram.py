"""``G(w) = F(w) F(w)^H`` at given frequencies: what evaluates it, and which to take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from convspec.arrays import IntArray
from convspec.frequency.direct import DirectGram
from convspec.frequency.gram_polynomial import GramPolynomial
from convspec.frequency.reduced import ReducedSymbol
from convspec.limits import require_bytes
from convspec.run.threads import available_cores

__all__ = ["LEAST_CHUNK", "Gram", "gram_of"]

# beyond so many taps the table of their pairs costs more than it saves
MANY_LAGS = 64
# matrices that a search holds at a time, at least, on each core
LEAST_CHUNK = 4


class Gram(Protocol):
    """G of every group of channels, evaluated with a bound on its error.

    Attributes:
        side: Rows n of a matrix.
        error: At least the 2-norm of the error of each group's evaluations; (groups,).
    """

    side: int
    error: Tensor

    @property
    def flops_each(self) -> float:
        """Operations of one evaluation and one Cholesky test, about."""

    @property
    def bytes_each(self) -> int:
        """What one evaluation takes, about."""

    def bend(self, spans: Sequence[float]) -> Tensor:
        """How much less than at an extreme G can be within a cell, or inf; (groups,)."""

    def at(self, groups: Tensor, turns: Tensor, *, single: bool = False) -> Tensor:
        """G of ``groups[k]``, ascending, at ``w = 2 pi turns[k]``; (k, n, n)."""

    def at_grid(self, groups: Tensor, index: IntArray, grid: Sequence[int]) -> Tensor:
        """G of ``groups[k]``, ascending, at ``w = 2 pi index[k] / grid``; (k, n, n)."""


def gram_of(symbol: ReducedSymbol, max_bytes: int) -> Gram:
    """The cheaper of the two evaluations, or the one that fits.

    Raises:
        TooLargeError: If neither does.
    """
    many = len(symbol.lags) > MANY_LAGS
    if not many and GramPolynomial.bytes_of(symbol) <= max_bytes:
        return GramPolynomial(symbol)
    needed = available_cores() * LEAST_CHUNK * DirectGram.bytes_of(symbol)
    what = f"{LEAST_CHUNK} values of the symbol on each core"
    require_bytes(what, needed, max_bytes, "take a kernel of fewer channels")
    return DirectGram(symbol)
