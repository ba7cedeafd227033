"""Tori of pixels and their frequencies, of which one of each conjugate pair is kept.

What is carried is real in space, so that it is conjugate at ``-w``. A stride of s turns
the s aliases ``(v + 2 pi a) / s`` of a frequency v of the coarse torus into one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.frequency.conjugate import conjugate_half, one_of_each_pair

__all__ = ["VECTOR", "Lattice", "pieces"]

# entries of a stack of matrices that is worked on at once: memory of larger ones is given
# back to the system and asked for again at every step, which takes as long as the step
AT_ONCE = 2**19


@dataclass(frozen=True)
class Lattice:
    """A torus of pixels; of no axis for plain vectors.

    Attributes:
        sizes: Pixels per axis.
        halves: 1 for each axis along which frequencies lie halfway between those of the
            torus, 0 for others; empty for none. Signals then change their sign where they
            wrap around.
    """

    sizes: tuple[int, ...]
    halves: tuple[int, ...] = ()

    @property
    def is_vector(self) -> bool:
        """Whether there is one frequency alone, 0."""
        return not self.sizes

    @property
    def is_real(self) -> bool:
        """Whether each frequency is its own conjugate: no axis has over two pixels."""
        pairs = zip(self.sizes, self._halves, strict=True)
        return all(size <= (1 if half else 2) for size, half in pairs)

    @property
    def dtype(self) -> torch.dtype:
        """Of what is carried at its frequencies."""
        return torch.float64 if self.is_real else torch.complex128

    @cached_property
    def _half(self) -> tuple[IntArray, IntArray]:
        if self.is_vector:
            return np.zeros((1, 0), dtype=np.int64), np.ones(1, dtype=np.int64)
        if not any(self.halves):
            return conjugate_half(self.sizes, False)
        index = np.indices(self.sizes).reshape(len(self.sizes), -1).T
        return one_of_each_pair(index, index, self._mirrored(index), self.sizes)

    @property
    def _halves(self) -> IntArray:
        return np.array(self.halves or (0,) * len(self.sizes), dtype=np.int64)

    def _mirrored(self, index: IntArray) -> IntArray:
        """Where ``-w`` is, of frequencies ``w = 2 pi (k + half / 2) / N``."""
        found: IntArray = (-index - self._halves) % np.array(self.sizes, dtype=np.int64)
        return found

    @property
    def index(self) -> IntArray:
        """Places on the grid of frequencies; (F, d)."""
        return self._half[0]

    @cached_property
    def shares(self) -> Tensor:
        """Which share of the torus each stands for; (F,), adding up to 1."""
        counts = torch.from_numpy(self._half[1]).to(torch.float64)
        return counts / math.prod(self.sizes)

    def waves(self, axis: int, places: IntArray) -> Tensor:
        """``exp(i w_axis p)`` for each frequency and place; (F, places).

        Angles are reduced in integers, so that each is good to a few units.
        """
        size = 2 * self.sizes[axis]
        twice = 2 * self.index[:, axis] + self._halves[axis]
        turns = np.multiply.outer(twice, places) % size
        angles = torch.from_numpy(2 * math.pi * turns / size)
        return torch.complex(angles.cos(), angles.sin())

    def joint_waves(self, places: Sequence[IntArray]) -> Tensor:
        """``exp(i <w, p>)`` for all p on a grid of places; (F, product of lengths)."""
        found = torch.ones(len(self.index), 1, dtype=torch.complex128, device="cpu")
        for axis, some in enumerate(places):
            waves = self.waves(axis, some)
            found = (found[:, :, None] * waves[:, None, :]).flatten(1)
        return found

    def coarse(self, stride: tuple[int, ...]) -> Lattice:
        """The lattice of every s-th pixel."""
        pairs = zip(self.sizes, stride, strict=True)
        return Lattice(tuple(size // step for size, step in pairs), self.halves)

    def aliases(self, stride: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """For each frequency of the coarse lattice where its aliases are kept.

        Returns:
            Places among the kept frequencies, (F', aliases), and whether what is kept
            there is the conjugate, likewise.
        """
        coarse = self.coarse(stride)
        steps = np.indices(stride).reshape(len(stride), -1).T  # (aliases, d)
        size = np.array(coarse.sizes, dtype=np.int64)
        wanted = coarse.index[:, None] + steps[None] * size  # (F', aliases, d)
        where, turned = self._places
        flat = np.ravel_multi_index(tuple(np.moveaxis(wanted, -1, 0)), self.sizes)
        return torch.from_numpy(where[flat]), torch.from_numpy(turned[flat])

    def folds(self, stride: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """For each frequency where that is kept which it is an alias of.

        Returns:
            Places among the frequencies of the coarse lattice, (F,), and whether what is
            kept there is the conjugate.
        """
        coarse = self.coarse(stride)
        wanted = self.index % np.array(coarse.sizes, dtype=np.int64)
        where, turned = coarse._places
        flat = np.ravel_multi_index(tuple(wanted.T), coarse.sizes)
        return torch.from_numpy(where[flat]), torch.from_numpy(turned[flat])

    @cached_property
    def _places(self) -> tuple[IntArray, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
        """Where each frequency of the torus is kept, and whether as its conjugate."""
        where = np.full(math.prod(self.sizes), -1, dtype=np.int64)
        turned = np.zeros(math.prod(self.sizes), dtype=np.bool_)
        mirrored = self._mirrored(self.index)
        for index, conjugate in ((mirrored, True), (self.index, False)):
            flat = np.ravel_multi_index(tuple(index.T), self.sizes)
            where[flat], turned[flat] = np.arange(len(index)), conjugate
        return where, turned


def pieces(count: int, entries: int) -> Iterator[slice]:
    """Places of some frequencies, and then of others, until all had their turn.

    Args:
        count: How many there are.
        entries: Of the matrices at each.
    """
    size = max(1, AT_ONCE // max(1, entries))
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))


VECTOR = Lattice(())
