"""Vectors of a part's complete bases, as images when they are asked for.

A vector of a block is an image in one place, a patch, or a wave: of a pair of
frequencies the real and the imaginary part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.inverse.columns import multiplied
from convspec.inverse.decomposition import Decomposed

__all__ = ["Chosen"]


@dataclass(frozen=True)
class Chosen:
    """The vectors of one part that belong to a subspace.

    Attributes:
        found: The part, with complete bases.
        left: Whether these are outputs.
        mask: Which of the complete bases these are; (groups, *frequencies, *widths).
    """

    found: Decomposed
    left: bool
    mask: Tensor

    @classmethod
    def of(cls, found: Decomposed, left: bool, cut: float) -> Chosen:
        """Of the values above the cut the left vectors, of the others the right ones."""
        bases = found.left if left else found.right
        values = found.values
        count = len(found.part.frequencies.counts)
        pads: list[int] = []
        for i in range(count)[::-1]:  # pad() starts with the last dimension
            pads += [0, bases[i].shape[-1] - values.shape[1 + count + i]]
        spread = torch.nn.functional.pad(values, pads)
        return cls(found, left, spread > cut if left else spread <= cut)

    @cached_property
    def flat(self) -> IntArray:
        """Where each vector is, of the pairs of frequencies one."""
        part = self.found.part
        listed = torch.from_numpy(part.frequencies.stands_for > 0).to(self.mask.device)
        listed = listed.reshape(1, *listed.shape, *[1] * len(part.frequencies.counts))
        flat: IntArray = np.flatnonzero((self.mask & listed).numpy(force=True))
        return flat

    @property
    def bases(self) -> list[Tensor]:
        """Complete ones, of each factor."""
        dtype = self.found.part.dtype
        bases = self.found.left if self.left else self.found.right
        return [basis.to(dtype) for basis in bases]

    @property
    def shape(self) -> tuple[int, ...]:
        """(groups, *frequencies, *widths)."""
        return tuple(self.mask.shape)

    @cached_property
    def frequency(self) -> IntArray:
        """The frequency of each vector, flat."""
        counts = self.found.part.frequencies.counts
        rest = math.prod(self.shape[1 + len(counts) :])
        place: IntArray = self.flat // rest % math.prod(counts)
        return place

    @cached_property
    def often(self) -> IntArray:
        """How many images each gives: parts of the pair, times the copies."""
        part = self.found.part
        often: IntArray = (
            part.frequencies.stands_for.reshape(-1)[self.frequency] * part.copies
        )
        return often

    @cached_property
    def ends(self) -> IntArray:
        """How many images those up to each give."""
        ends: IntArray = np.cumsum(self.often)
        return ends

    def columns(self, index: IntArray) -> Tensor:
        """Some of the images, as columns of the blocks.

        Args:
            index: Of the images; (b,).
        """
        part = self.found.part
        which = np.searchsorted(self.ends, index, side="right")
        within = index - (self.ends - self.often)[which]
        second, copy = np.divmod(within, part.copies)
        like = self.found.values
        shape = (*self.shape, len(index) * part.copies)
        units = torch.zeros(shape, dtype=part.dtype, device=like.device)
        where = np.unravel_index(self.flat[which], self.shape)
        column = np.arange(len(index)) * part.copies + copy
        place = tuple(torch.from_numpy(np.asarray(some)) for some in (*where, column))
        units[place] = self._amplitudes(which, second).to(units)
        return multiplied(self.bases, units)

    def _amplitudes(self, which: IntArray, second: IntArray) -> Tensor:
        """Of each wave in the half of the frequencies that is listed.

        Where the negative is not listed it is there all the same, so that the real part
        comes twice; where it is, the inverse transform takes the real part once.
        """
        part = self.found.part
        frequency = self.frequency[which]
        pair = part.frequencies.stands_for.reshape(-1)[frequency] == 2
        both = part.frequencies.both_listed.reshape(-1)[frequency]
        size = np.where(pair, np.where(both, math.sqrt(2), math.sqrt(0.5)), 1.0)
        if not second.any():
            return torch.from_numpy(size)
        return torch.from_numpy(size * np.where(second == 1, -1j, 1))
