"""Axes that are taken to frequencies: rings, and halves of rings.

A ring of N places has all N frequencies ``2 pi k / N``. Half of a ring of 2 N places has
those with k from 0 or 1 up to N - 1, and at each the block of the ring's convolution, but
for a factor of size 1 for each output channel: the singular values are the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from convspec.arrays import IntArray
from convspec.frequency.conjugate import conjugate_half
from convspec.operators.half_ring import HalfRing
from convspec.operators.reads import Reads
from convspec.operators.reduce import Reduction
from convspec.operators.symbol import Symbol
from convspec.rounding.directed import square_root, up

__all__ = ["Closed"]


@dataclass(frozen=True)
class Closed:
    """Some axes of an operator, all of them closed.

    Attributes:
        axes: What they read.
        halves: Those that are halves of rings, by their place in ``axes``; the others
            are cyclic.
    """

    axes: tuple[Reads, ...]
    halves: Mapping[int, HalfRing]

    @classmethod
    def of(cls, reduced: Reduction) -> Closed:
        """All axes that do not factor out."""
        kept = [j for j, axis in enumerate(reduced.axes) if not axis.single]
        return cls.among(reduced.axes, reduced.half_rings, kept)

    @classmethod
    def among(
        cls, axes: Sequence[Reads], half_rings: Mapping[int, HalfRing], kept: list[int]
    ) -> Closed:
        """Some of the axes of an operator."""
        halves = {i: half_rings[j] for i, j in enumerate(kept) if j in half_rings}
        return cls(tuple(axes[j] for j in kept), halves)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Places of each ring, the halves that are not there included."""
        return tuple(
            2 * self.halves[i].pixels.half if i in self.halves else axis.outputs
            for i, axis in enumerate(self.axes)
        )

    @property
    def phases(self) -> int:
        """Pixels read for each output."""
        return math.prod(
            axis.pixels_per_output
            for i, axis in enumerate(self.axes)
            if i not in self.halves
        )

    def count(self, real: bool) -> float:
        """How many frequencies are decomposed, about."""
        whole = [n for i, n in enumerate(self.sizes) if i not in self.halves]
        rings = math.prod(whole) / 2 + 1 if real and whole else float(math.prod(whole))
        return rings * math.prod(half.pixels.count for half in self.halves.values())

    def frequencies(self, real: bool) -> tuple[IntArray, IntArray]:
        """Which frequencies there are, and how many each stands for.

        On halves of rings each stands for itself; of the others, for real kernels, one
        of each pair is listed, as :func:`conjugate_half` lists them.

        Returns:
            (j, d) places on ``sizes``, and (j,).
        """
        whole = [i for i in range(len(self.axes)) if i not in self.halves]
        index, times = conjugate_half([self.sizes[i] for i in whole], not real)
        found = np.zeros((len(index), len(self.axes)), dtype=np.int64)
        found[:, whole] = index
        for i, half in self.halves.items():
            count = half.pixels.count
            found = np.repeat(found, count, axis=0)
            found[:, i] = np.tile(half.frequencies, len(found) // count)
            times = np.repeat(times, count)
        return found, times

    def symbol(self, weight: Tensor, groups: int) -> Symbol:
        """That of the rings; weight (c_out, c, taps of these axes)."""
        rings = [axis.on_ring(i in self.halves) for i, axis in enumerate(self.axes)]
        offsets, strides = [ring[0] for ring in rings], [ring[1] for ring in rings]
        return Symbol.of_taps(weight, groups, offsets, strides)

    @cached_property
    def distance(self) -> float:
        """Bound on what the blocks err by where kernels have no exact parity."""
        found = 0.0
        for i, half in self.halves.items():
            others = [axis for j, axis in enumerate(self.axes) if j != i]
            shows = math.prod(axis.axis.most_reads for axis in others)
            # the operator is near another, whose blocks are as near to these
            if half.distance:
                found = up(found + 2 * up(half.distance * square_root(shows)), 2)
        return found
