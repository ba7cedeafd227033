"""The symbol at the frequencies of a torus, some of them at a time."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.operators.lags import leading_sign
from convspec.operators.symbol import Symbol
from convspec.rounding.waves import rational_waves

__all__ = ["TorusBlocks"]

# larger tables of waves are not kept
TABLE_BYTES = 2**22


class TorusBlocks:
    """``exp(-i <z, w>) F(w)`` at the frequencies of a torus, z the middle of the lags.

    The factor changes no singular value. With it, lags q and -q about the middle share
    one cosine and one sine, which halves the work: ``(C_q + C_-q) cos <q, w>`` and
    ``i (C_q - C_-q) sin <q, w>``. Evaluated in float64, whatever the result.
    """

    def __init__(
        self, symbol: Symbol, shape: tuple[int, ...], dtype: torch.dtype
    ) -> None:
        self.symbol = symbol
        self.shape = shape
        self.dtype = dtype.to_complex()
        self.groups = symbol.groups
        self.block_shape = symbol.block_shape
        # twice the lags about the middle, integers; of q and -q one is kept
        twice = 2 * symbol.lags - symbol.lags.min(axis=0) - symbol.lags.max(axis=0)
        self._sign = leading_sign(twice)
        self._kept, which = np.unique(
            twice * np.where(self._sign < 0, -1, 1)[:, None], axis=0, return_inverse=True
        )
        self._which = which.reshape(-1)
        # sorted, so that a lag in the very middle comes first; its sine is 0
        self._odd = int((self._sign == 0).any())

    @cached_property
    def _table(self) -> Tensor:
        """The even, then the odd combinations of coefficients; (lags, entries)."""
        evens, lags = len(self._kept), len(self._sign)
        combine = np.zeros((2 * evens, lags))
        combine[self._which, np.arange(lags)] = 1
        combine[evens + self._which, np.arange(lags)] = self._sign
        combine = np.delete(combine, evens, axis=0) if self._odd else combine
        coefficients = self.symbol.coefficients.flatten(0, 2).T
        sums = torch.as_tensor(combine, device=coefficients.device).to(coefficients)
        return sums @ coefficients

    @cached_property
    def _waves(self) -> list[npt.NDArray[np.complex128] | None]:
        """Per axis a table of the factors whose product is ``exp(i <q, w>)``.

        None for tables that are too large: of those the roots of unity are kept.
        """
        return [
            rational_waves(kept[:, None], np.arange(size)[:, None], (2 * size,)).numpy()
            if 16 * size * len(self._kept) <= TABLE_BYTES
            else None
            for kept, size in zip(self._kept.T, self.shape, strict=True)
        ]

    @cached_property
    def _roots(self) -> list[npt.NDArray[np.complex128]]:
        """Per axis the roots of unity that the factors are taken from."""
        one = np.ones((1, 1), dtype=np.int64)
        return [
            rational_waves(one, np.arange(order)[:, None], (order,))[:, 0].numpy()
            for order in (2 * size for size in self.shape)
        ]

    def _factors(self, j: int, places: IntArray) -> npt.NDArray[np.complex128]:
        """The factors of axis j in the waves at some of its places; (places, lags)."""
        table = self._waves[j]
        if table is not None:
            return table[places]
        turns = np.multiply.outer(places, self._kept[:, j]) % (2 * self.shape[j])
        found: npt.NDArray[np.complex128] = self._roots[j][turns]
        return found

    @property
    def on_gpu(self) -> bool:
        """Whether they are evaluated elsewhere than on the processor."""
        return self.symbol.coefficients.device.type != "cpu"

    @property
    def eps(self) -> float:
        """Machine epsilon of the blocks."""
        return torch.finfo(self.dtype).eps

    def at(self, index: IntArray) -> Tensor:
        """At ``w = 2 pi index / shape``, index (j, d): (j, groups, rows, columns)."""
        wave = np.ones((len(index), 1), dtype=np.complex128)
        for j in range(len(self.shape)):
            wave = wave * self._factors(j, index[:, j])
        device = self._table.device
        cosine = torch.as_tensor(wave.real.copy(), device=device)
        sine = torch.as_tensor(wave.imag[:, self._odd :].copy(), device=device)
        if self._table.is_complex():
            blocks = torch.cat((cosine + 0j, 1j * sine), dim=1) @ self._table
        else:
            even, odd = self._table[: len(self._kept)], self._table[len(self._kept) :]
            blocks = torch.complex(cosine @ even, sine @ odd)
        return blocks.reshape(len(index), self.groups, *self.block_shape).to(self.dtype)
