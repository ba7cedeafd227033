"""Cells of frequencies, and how often an operator reads what its symbol is made of.

On each axis outputs and pixels fall into ``d / gcd(s, d)`` classes without a tap between
them; in each a tap at place z of the kernel reads the pixel ``s' p + z``, with the stride
``s' = s / gcd(s, d)``. So all classes have one symbol, with pixels split into s' phases:
tap z is the lag ``q = z // s'`` of the phase ``r = z mod s'``. Counts add up over the
classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from convspec.arrays import FloatArray, IntArray
from convspec.frequency.conjugate import one_of_each_pair
from convspec.operators.reads import Reads

__all__ = ["CellAxis", "cells", "sinc"]


@dataclass(frozen=True)
class CellAxis:
    """One axis of zero padding, without the outputs and taps that read nothing.

    Attributes:
        read: What it reads.
        stride: s', or the taps from first to last if these are fewer.
    """

    read: Reads
    stride: int

    @classmethod
    def of(cls, read: Reads) -> CellAxis:
        """An axis that shows no pixel twice."""
        live = read.live
        return cls(live, min(live.axis.phases, live.reach))

    @cached_property
    def _places(self) -> IntArray:
        """z, from 0 on; (k',)."""
        places: IntArray = self.read.taps - self.read.taps[0]
        return places

    @cached_property
    def lags(self) -> IntArray:
        """The lag q of each tap; (k',)."""
        lags: IntArray = self._places // self.stride
        return lags

    @cached_property
    def phases(self) -> IntArray:
        """The phase r of each tap; (k',)."""
        phases: IntArray = self._places % self.stride
        return phases

    @cached_property
    def centred(self) -> FloatArray:
        """Lags less the middle of those of their phase; (k',)."""
        found = self.lags.astype(np.float64)
        for phase in np.unique(self.phases):
            own = self.phases == phase
            found[own] -= (found[own].min() + found[own].max()) / 2
        return found

    @property
    def active(self) -> bool:
        """Whether anything depends on the frequency of this axis."""
        return bool(self.centred.any())

    @property
    def outputs(self) -> int:
        """Number of outputs that read something."""
        return self.read.outputs

    @cached_property
    def _pixels_of_phases(self) -> list[int]:
        """How many pixels the taps of each phase read."""
        reads = self._reads
        return [
            int(reads[self.phases == phase].any(axis=0).sum())
            for phase in np.unique(self.phases)
        ]

    @property
    def pixels(self) -> int:
        """Number of pixels that are read."""
        return sum(self._pixels_of_phases)

    @property
    def places(self) -> int:
        """Pixels per phase, of the phase that has most."""
        return max(self._pixels_of_phases)

    @cached_property
    def counts(self) -> IntArray:
        """Of how many outputs each tap reads a pixel; (k',)."""
        counts: IntArray = (self.read.source >= 0).sum(axis=1)
        return counts

    @cached_property
    def shared_outputs(self) -> IntArray:
        """Of how many outputs taps t and u both read a pixel; (k', k')."""
        reads = (self.read.source >= 0).astype(np.int64)
        shared: IntArray = reads @ reads.T
        return shared

    @cached_property
    def shared_pixels(self) -> IntArray:
        """How many pixels both tap t and tap u read, of different outputs; (k', k')."""
        reads = self._reads.astype(np.int64)
        shared: IntArray = reads @ reads.T
        return shared

    @cached_property
    def _reads(self) -> npt.NDArray[np.bool_]:
        """Whether tap t reads a pixel for some output; (k', pixels)."""
        source = self.read.source
        reads = np.zeros((len(source), len(self.read.pixels)), dtype=bool)
        for tap, row in enumerate(source):
            reads[tap, row[row >= 0]] = True
        return reads


def cells(sizes: Sequence[int], everything: bool) -> tuple[IntArray, IntArray]:
    """The middles of M_1 x ... x M_d cells, ``w = pi (2 j + 1) / M``, one of each +-w.

    Args:
        sizes: (M_1, ..., M_d).
        everything: Take both: complex kernels have no symmetry.

    Returns:
        ``2 j + 1``, (cells, d), and how many cells each stands for.

    >>> cells([3], False)[0].ravel().tolist(), cells([3], False)[1].tolist()
    ([1, 3], [2, 1])
    """
    shape = tuple(sizes)
    index = np.indices(shape).reshape(len(shape), math.prod(shape)).T
    middles = 2 * index + 1
    if everything:
        return middles, np.ones(len(index), dtype=np.int64)
    mirrored = (-1 - index) % np.array(shape, dtype=np.int64)
    return one_of_each_pair(middles, index, mirrored, shape)


def sinc(lags: FloatArray, size: int) -> FloatArray:
    """``sin(pi q / M) / (pi q / M)``, the mean of ``exp(i q (w - w_j))`` over a cell.

    Off by at most 10 u: pi q / M rounds three times, which moves sine and quotient by
    that relative to pi q / M; the sine by a unit in the last place, the quotient by u.
    """
    found: FloatArray = np.sinc(lags / size)
    return found
