"""A convolution as its endless operator cut off on both sides, under cells of waves.

What :mod:`convspec.spectrum.sums.majorisation` needs of it: sizes, costs, and the two
polynomials whose eigenvalues it sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import FloatArray, IntArray
from convspec.operators.operator import ConvOperator
from convspec.operators.reads import Reads, at_live_taps
from convspec.quantity.outward import EPS
from convspec.spectrum.sums.gram import Eigenvalues, Polynomials, Weights, eigenvalues
from convspec.spectrum.sums.grid import CellAxis, cells, sinc

__all__ = ["CutSymbol"]

# cells per axis; their squares where only one axis has frequencies
LEVELS = (6, 8, 12, 16, 24, 32, 48)


@dataclass(frozen=True)
class CutSymbol:
    """A convolution as its endless operator, cut off on both sides.

    Attributes:
        operator: The operator, of weights near 1.
        blocks: K_t; (groups, taps, c_out, c_in).
        axes: What is read on each axis.
    """

    operator: ConvOperator
    blocks: Tensor
    axes: tuple[CellAxis, ...]

    @classmethod
    def of(cls, work: ConvOperator) -> CutSymbol:
        """Of an operator of weights near 1, whose padding repeats no pixel."""
        reads = tuple(Reads.of(axis) for axis in work.geometry.axes)
        weight = at_live_taps(work.weight.detach(), reads).flatten(2)
        blocks = weight.reshape(work.groups, -1, *weight.shape[1:]).permute(0, 3, 1, 2)
        return cls(work, blocks.contiguous(), tuple(map(CellAxis.of, reads)))

    # -- sizes ------------------------------------------------------------------------

    @property
    def phases(self) -> int:
        """Columns of the symbol for each input channel."""
        return math.prod(axis.stride for axis in self.axes)

    @property
    def of_outputs(self) -> bool:
        """Whether ``A A^H`` is looked at: the symbol has no more rows than columns."""
        return self.blocks.shape[2] <= self.blocks.shape[3] * self.phases

    @property
    def side(self) -> int:
        """Rows of a Gram matrix."""
        if self.of_outputs:
            return self.blocks.shape[2]
        return self.blocks.shape[3] * self.phases

    @property
    def outputs(self) -> int:
        """m, the outputs that read something."""
        return math.prod(axis.outputs for axis in self.axes)

    @property
    def places(self) -> int:
        """n, the pixels of a phase, of the one with most."""
        return math.prod(axis.places for axis in self.axes)

    @property
    def room(self) -> int:
        """How many singular values may be positive."""
        groups, _, c_out, c_in = self.blocks.shape
        pixels = math.prod(axis.pixels for axis in self.axes)
        return groups * min(c_out * self.outputs, c_in * pixels)

    # -- cost -------------------------------------------------------------------------

    @property
    def grids(self) -> list[tuple[int, ...]]:
        """Grids from coarse to fine."""
        active = [axis.active for axis in self.axes]
        if not any(active):
            return [(1,) * len(active)]
        power = 2 if sum(active) == 1 else 1
        return [tuple(m**power if on else 1 for on in active) for m in LEVELS]

    def flops(self, sizes: Sequence[int]) -> float:
        """Of the products of taps, and of two matrices per cell and their eigenvalues."""
        groups, _, c_out, c_in = self.blocks.shape
        is_complex = self.blocks.is_complex()
        inner = c_in if self.of_outputs else c_out
        number = len(self.pairs[0])
        products = number * (2 * inner + 4) * self.side**2 * (4 if is_complex else 1)
        cells_ = math.prod(sizes) / (1 if is_complex else 2)
        each = 2 * (16 / 3 * self.side**3 + 8 * self._lag_count * self.side**2)
        return float(groups * (products + cells_ * each))

    @property
    def bytes(self) -> int:
        """Of the polynomials and the factors, and of one cell's matrices."""
        square = self.blocks.shape[0] * self.side**2 * self.blocks.element_size()
        return int((4 * self._lag_count + 16) * square + 4 * self.blocks.nbytes)

    @cached_property
    def _lag_count(self) -> int:
        t, p = self.pairs
        return len(np.unique(self.lags[t] - self.lags[p], axis=0))

    # -- taps -------------------------------------------------------------------------

    @cached_property
    def lags(self) -> IntArray:
        """q_t; (taps, d)."""
        return _table([axis.lags for axis in self.axes])

    @cached_property
    def _phase(self) -> IntArray:
        """The phase of each tap, numbered; (taps,)."""
        phases = _table([axis.phases for axis in self.axes])
        number = np.zeros(len(phases), dtype=np.int64)
        for column, axis in zip(phases.T, self.axes, strict=True):
            number = number * axis.stride + column
        return number

    @cached_property
    def pairs(self) -> tuple[IntArray, IntArray]:
        """Pairs of taps that meet: all, or those of one phase."""
        t, p = np.tril_indices(self.blocks.shape[1])
        if self.of_outputs:
            same = self._phase[t] == self._phase[p]
            return t[same], p[same]
        return t, p

    @property
    def _factors(self) -> Tensor:
        """L_t: K_t, or K_t^T at the rows of its phase; (groups, taps, side, columns)."""
        if self.of_outputs:
            return self.blocks
        if self.phases == 1:
            return self.blocks.mT
        groups, taps, c_out, c_in = self.blocks.shape
        spread = self.blocks.new_zeros((groups, taps, c_in, self.phases, c_out))
        spread[:, torch.arange(taps), :, torch.as_tensor(self._phase)] = (
            self.blocks.mT.transpose(0, 1)
        )
        return spread.reshape(groups, taps, self.side, c_out)

    # -- the two polynomials ----------------------------------------------------------

    def values(self, sizes: Sequence[int], held: int) -> Eigenvalues:
        """Eigenvalues of ``F_j F_j^H`` and of G_j, over m^2 and m."""
        weights = [self._minorant(sizes), self._majorant(sizes)]
        polynomials = Polynomials.of(self._factors, self.lags, self.pairs, weights)
        middles, _ = cells(sizes, self.blocks.is_complex())
        return eigenvalues(polynomials, middles, sizes, held)

    def _minorant(self, sizes: Sequence[int]) -> Weights:
        """``N_t N_u sinc_t sinc_u / m^2``."""
        waves = [
            axis.counts / axis.outputs * sinc(axis.centred, size)
            for axis, size in zip(self.axes, sizes, strict=True)
        ]
        each = _kron(waves)
        most = _kron([axis.counts / axis.outputs for axis in self.axes])
        return Weights(np.outer(each, each), np.outer(most, most) * (1 + 16 * EPS))

    def _majorant(self, sizes: Sequence[int]) -> Weights:
        """``n_tu sinc(q_t - q_u) / m``."""
        shares = [
            (axis.shared_pixels if self.of_outputs else axis.shared_outputs)
            / axis.outputs
            for axis in self.axes
        ]
        centred = [np.subtract.outer(axis.centred, axis.centred) for axis in self.axes]
        waves = [
            share * sinc(lags, size)
            for share, lags, size in zip(shares, centred, sizes, strict=True)
        ]
        return Weights(_kron(waves), _kron(shares) * (1 + 16 * EPS))


def _table(numbers: Sequence[IntArray]) -> IntArray:
    """All combinations of the axes' numbers, one row each."""
    grids = np.meshgrid(*numbers, indexing="ij")
    count = math.prod(len(each) for each in numbers)
    table: IntArray = np.reshape(grids, (len(numbers), count)).T
    return table


def _kron(tables: Sequence[FloatArray]) -> FloatArray:
    """Products over the axes."""
    found: FloatArray = np.ones((1,) * tables[0].ndim)
    for table in tables:
        found = np.kron(found, table).astype(np.float64)
    return found
