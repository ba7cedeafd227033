"""The frequencies of the axes of a part, and which of them stand for two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from convspec.arrays import IntArray
from convspec.inverse.axis_parts import AxisPart

__all__ = ["Frequencies"]


@dataclass(frozen=True)
class Frequencies:
    """What the axes that are taken to frequencies have.

    Attributes:
        axes: All axes.
        groupings: Those of each factor.
        real: Whether the kernel is real: then ``F(-w)`` is the conjugate of F(w).
    """

    axes: tuple[AxisPart, ...]
    groupings: list[list[int]]
    real: bool

    @cached_property
    def waves(self) -> list[int]:
        """The axes that are taken to frequencies, in the order of the factors."""
        return [j for some in self.groupings for j in some if self.axes[j].wave]

    @cached_property
    def rings(self) -> list[int]:
        """Those of them that are whole rings."""
        return [j for j in self.waves if self.axes[j].ring]

    @cached_property
    def of(self) -> dict[int, IntArray]:
        """Those of each wave: real kernels need half of those of the last ring."""
        found = {}
        for j in self.waves:
            half = self.axes[j].half
            found[j] = (
                np.arange(self.axes[j].copies) if half is None else half.frequencies
            )
        if self.rings and self.real:
            last = self.rings[-1]
            found[last] = found[last][: len(found[last]) // 2 + 1]
        return found

    @cached_property
    def counts(self) -> list[int]:
        """Frequencies of each factor."""
        return [
            math.prod(len(self.of[j]) for j in some if self.axes[j].wave)
            for some in self.groupings
        ]

    def own_mirror(self, i: int) -> npt.NDArray[np.bool_]:
        """Which frequencies of factor i are their own negatives: real blocks there."""
        found = np.ones(1, dtype=bool)
        for j in self.groupings[i]:
            if self.axes[j].wave:
                found = np.logical_and.outer(found, self._own(j)).reshape(-1)
        return found

    def _own(self, j: int) -> npt.NDArray[np.bool_]:
        """Which frequencies of a wave are their own negatives, or have none."""
        if not self.axes[j].ring:
            return np.ones(len(self.of[j]), dtype=bool)
        own: npt.NDArray[np.bool_] = 2 * self.of[j] % self.axes[j].copies == 0
        return own

    @cached_property
    def stands_for(self) -> IntArray:
        """How many frequencies each one stands for, itself and its negative.

        Of those of which both are listed the second stands for none; (counts).
        """
        times = np.ones(self._grid, dtype=np.int64)
        if self.rings and self.real:
            own, mirrors = [], []
            for j in self.waves:
                places = np.arange(len(self.of[j]))
                own.append(places)
                ring = self.axes[j].ring
                mirrors.append(-places % self.axes[j].copies if ring else places)
            lengths = [max(self.axes[j].copies, len(some)) for j, some in self._listed]
            place, mirror = (
                np.ravel_multi_index(np.meshgrid(*some, indexing="ij"), lengths)
                for some in (own, mirrors)
            )
            times = np.where(place == mirror, 1, 2)
            both = self.both_listed.reshape(times.shape)
            times[both & (mirror < place)] = 0
        return times.reshape(self.counts)

    @property
    def _listed(self) -> list[tuple[int, IntArray]]:
        """Each wave with its frequencies."""
        return [(j, self.of[j]) for j in self.waves]

    @property
    def _grid(self) -> list[int]:
        """How many frequencies each wave has."""
        return [len(some) for _, some in self._listed]

    @property
    def both_listed(self) -> npt.NDArray[np.bool_]:
        """Whether the negative of a frequency is listed too; (counts)."""
        if not (self.rings and self.real):
            return np.ones(self.counts, dtype=bool)
        last = self.rings[-1]
        shape = [-1 if j == last else 1 for j in self.waves]
        ends = self._own(last).reshape(shape)
        return np.broadcast_to(ends, self._grid).reshape(self.counts)
