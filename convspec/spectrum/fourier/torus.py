"""The symbol at the frequencies of a torus, some of them at a time."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convspec.geometry import IntArray
from convspec.symbol import Symbol

__all__ = ["TorusBlocks", "roots_of_unity"]


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
        sign = _leading_sign(twice)
        kept, which = np.unique(
            twice * np.where(sign < 0, -1, 1)[:, None], axis=0, return_inverse=True
        )
        # sorted, so that a lag in the very middle comes first; its sine is 0
        self._odd = int((sign == 0).any())
        combine = np.zeros((2 * len(kept), len(sign)))
        combine[which.reshape(-1), np.arange(len(sign))] = 1
        combine[len(kept) + which.reshape(-1), np.arange(len(sign))] = sign
        combine = np.delete(combine, len(kept), axis=0) if self._odd else combine
        coefficients = symbol.coefficients.flatten(0, 2).T  # (lags, entries)
        sums = torch.as_tensor(combine, device=coefficients.device).to(coefficients)
        self._table = sums @ coefficients  # even, then odd combinations
        self._evens = len(kept)
        # exp(i <q, w>) is a product over the axes; a table of each axis's factors
        self._waves = [
            roots_of_unity(np.multiply.outer(np.arange(size), kept[:, j]), 2 * size)
            for j, size in enumerate(shape)
        ]

    @property
    def on_gpu(self) -> bool:
        """Whether they are evaluated elsewhere than on the processor."""
        return self._table.device.type != "cpu"

    @property
    def eps(self) -> float:
        """Machine epsilon of the blocks."""
        return torch.finfo(self.dtype).eps

    @property
    def entries(self) -> int:
        """Numbers of one frequency's blocks."""
        return self.groups * math.prod(self.block_shape)

    def at(self, index: IntArray) -> Tensor:
        """At ``w = 2 pi index / shape``, index (j, d): (j, groups, rows, columns)."""
        wave = np.ones((len(index), 1), dtype=np.complex128)
        for j, factors in enumerate(self._waves):
            wave = wave * factors[index[:, j]]
        device = self._table.device
        cosine = torch.as_tensor(wave.real.copy(), device=device)
        sine = torch.as_tensor(wave.imag[:, self._odd :].copy(), device=device)
        if self._table.is_complex():
            blocks = torch.cat((cosine + 0j, 1j * sine), dim=1) @ self._table
        else:
            even, odd = self._table[: self._evens], self._table[self._evens :]
            blocks = torch.complex(cosine @ even, sine @ odd)
        return blocks.reshape(len(index), self.groups, *self.block_shape).to(self.dtype)


def roots_of_unity(turns: IntArray, order: int) -> npt.NDArray[np.complex128]:
    """``exp(2 pi i turns / order)``, the turns reduced in integers first."""
    roots: npt.NDArray[np.complex128] = np.exp(2j * np.pi * (turns % order) / order)
    return roots


def _leading_sign(rows: IntArray) -> IntArray:
    """The sign of the first number of each row that is not 0; 0 for rows of zeros."""
    sign = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:
        sign = np.where(sign == 0, np.sign(column), sign)
    return sign
