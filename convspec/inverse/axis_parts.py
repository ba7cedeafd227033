"""One axis in the basis in which a convolution is a direct sum: copies, or waves.

Outputs and pixels that see one another are a class, and classes of one pattern are
copies of one block: the patches of a patch embedding, the residue classes of a dilated
axis, the whole of an axis whose border is read. On a cyclic axis the classes would be one
long ring; there the unitary DFT over its outputs takes every tap to a phase. Where
padding mirrors as the kernel does, cosines and sines do
(:mod:`convspec.operators.half_ring`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.operators.half_ring import HalfRing
from convspec.operators.reads import Reads
from convspec.operators.residues import EqualClasses, equal_classes

__all__ = ["AxisPart", "axis_parts"]


@dataclass(frozen=True)
class AxisPart:
    """Some outputs and pixels of an axis, as ``copies`` places of the same width.

    Attributes:
        outputs: Of the axis; (copies, rows).
        pixels: Of the axis; (copies, columns).
        taps: Those that read something; (k',).
        source: ``source[t, r]``: the column that tap ``taps[t]`` of row r reads, or -1;
            (k', rows).
        turns: Of a wave: by how many places each tap is ahead of its output; (k',).
            None where the copies are one block each.
        half: Of half of a ring: its waves, of which the places are the only copies.
    """

    outputs: IntArray
    pixels: IntArray
    taps: IntArray
    source: IntArray
    turns: IntArray | None = None
    half: HalfRing | None = None

    @classmethod
    def of_classes(cls, classes: EqualClasses) -> AxisPart:
        """Copies of one block."""
        return cls(classes.outputs, classes.pixels, classes.taps, classes.source)

    @classmethod
    def of_ring(cls, read: Reads) -> AxisPart:
        """The waves of a cyclic axis."""
        width = read.pixels_per_output
        turns, column = np.divmod(read.source[:, :1], width)
        pixels = read.pixels.reshape(read.outputs, width)
        return cls(read.rows[:, None], pixels, read.taps, column, turns[:, 0])

    @classmethod
    def of_half(cls, half: HalfRing) -> AxisPart:
        """The cosines and sines of half of a ring."""
        read = half.read
        nothing = np.zeros((len(read.taps), 1), dtype=np.int64)
        return cls(
            read.rows[:, None], read.pixels[:, None], read.taps, nothing, half=half
        )

    @property
    def copies(self) -> int:
        """How many places there are."""
        return len(self.outputs)

    @property
    def rows(self) -> int:
        """Outputs of each place."""
        return int(self.outputs.shape[1])

    @property
    def columns(self) -> int:
        """Pixels of each place."""
        return int(self.pixels.shape[1])

    @property
    def wave(self) -> bool:
        """Whether the places are taken to frequencies."""
        return self.ring or self.half is not None

    @property
    def ring(self) -> bool:
        """Whether these are those of a whole ring."""
        return self.turns is not None

    @property
    def shows(self) -> int:
        """How often a pixel is shown, at most."""
        if self.half is not None:
            return self.half.read.axis.most_reads * len(self.taps)
        return int(np.bincount(self.source[self.source >= 0]).max())

    def table(self, frequencies: IntArray | None, dtype: torch.dtype) -> Tensor:
        """What each tap contributes; (taps, frequencies or 1, rows, columns).

        Args:
            frequencies: Of a wave, numbers of turns along the ring.
            dtype: Complex for waves.
        """
        taps, rows = self.source.shape
        shows = np.zeros((taps, 1, rows, self.columns))
        tap, row = np.nonzero(self.source >= 0)
        shows[tap, 0, row, self.source[tap, row]] = 1
        found = torch.from_numpy(shows).to(dtype)
        if self.turns is None:
            return found
        assert frequencies is not None
        turns = np.multiply.outer(self.turns, frequencies) % self.copies
        waves = torch.from_numpy(np.exp(2j * np.pi * turns / self.copies)).to(dtype)
        return found * waves[:, :, None, None]


def axis_parts(read: Reads) -> list[AxisPart]:
    """What an axis is a direct sum of; none if it reads nothing."""
    if read.cyclic and not _apart(read):
        return [AxisPart.of_ring(read)]
    return [AxisPart.of_classes(classes) for classes in equal_classes(read)]


def _apart(read: Reads) -> bool:
    """Whether the outputs of a cyclic axis share no pixel."""
    places = read.source[:, 0] // read.pixels_per_output
    return bool((places == places[0]).all())
