"""What one axis of a convolution reads: the only description of it, for all who ask.

Taps that only ever fall into padding and pixels that nothing reads are no part of the
operator: both are dropped. An axis that reads nothing keeps one of each, so that nothing
has to be said of empty tables.

Taps are dropped inside the kernel too, not only in front and behind, and the symbol loses
none of its lags by that. With ``P = s / gcd(s, d)`` phases tap t has the lag
``(t - first) // P``, and these are 0, 1, ... without a gap, since ``v = t + j P`` reads a
pixel if t does and some tap u from v on does. Proof: tap v reads the places
``d v - before + s o``, o = 0, ..., m - 1. They are congruent to those of t modulo s, as s
divides d P. The first is at most the first of u, so below n; the last is at least the
last of t, so not negative. If the first is not negative, it is a pixel. If it is, they go
through the least place of this congruence that is not negative; tap t reads a pixel of
the same congruence, which is no less, so that this place is a pixel as well.
(Taps that read nothing need zero padding: any other shows a pixel everywhere.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.operators.axis import Axis, shared_reads

__all__ = ["Reads", "at_live_taps"]


@dataclass(frozen=True)
class Reads:
    """What an axis reads.

    Attributes:
        axis: The axis.
        taps: The taps that read a pixel at least once; (k',).
        rows: The outputs that are described, all of the axis at first; (m',).
        shown: ``shown[t, o]``: the pixel that tap ``taps[t]`` of output ``rows[o]``
            reads, or -1 for a zero; (k', m').
    """

    axis: Axis
    taps: IntArray
    rows: IntArray
    shown: IntArray

    @classmethod
    def of(cls, axis: Axis) -> Reads:
        """Drop the taps that read nothing; of an axis that reads nothing keep one."""
        live = axis.live
        taps = np.flatnonzero(live) if live.any() else np.zeros(1, dtype=np.int64)
        shown = axis.source if len(taps) == axis.kernel else axis.source[taps]
        return cls(axis, taps, np.arange(axis.output), shown)

    @cached_property
    def live(self) -> Reads:
        """The same without the outputs that read nothing but zeros."""
        live = (self.shown >= 0).any(axis=0)
        if live.all():
            return self
        return replace(self, rows=self.rows[live], shown=self.shown[:, live])

    def on(self, chosen: npt.NDArray[np.bool_]) -> Reads:
        """The part on some of the pixels: taps see zeros in the place of the others.

        Taps stay, with or without anything to read; outputs that see zeros only go.

        Args:
            chosen: Which of ``pixels``; (n',).
        """
        kept = (self.source >= 0) & chosen[self.source]
        return replace(self, shown=np.where(kept, self.shown, -1)).live

    def of_outputs(self, outputs: IntArray) -> Reads:
        """What some of the outputs read, without the taps that they do not use.

        Args:
            outputs: Places in ``rows``; (m',).
        """
        part = replace(self, rows=self.rows[outputs], shown=self.shown[:, outputs])
        return part.at_taps(np.asarray((part.shown >= 0).any(axis=1)))

    def at_taps(self, chosen: npt.NDArray[np.bool_]) -> Reads:
        """The part that some of the taps read; all of it if none is chosen.

        Args:
            chosen: Which of ``taps``; (k',).
        """
        if chosen.all() or not chosen.any():
            return self
        return replace(self, taps=self.taps[chosen], shown=self.shown[chosen])

    @cached_property
    def _is_read(self) -> npt.NDArray[np.bool_]:
        """Which pixels of the axis are read; (n,)."""
        read = np.zeros(self.axis.size + 1, dtype=bool)
        read[self.shown] = True  # -1 marks the last place, of no pixel
        return read[:-1]

    @property
    def read(self) -> int:
        """Number of pixels that are read."""
        return int(self._is_read.sum())

    @property
    def reading(self) -> int:
        """Number of outputs that read a pixel."""
        return int((self.shown >= 0).any(0).sum())

    @cached_property
    def pixels(self) -> IntArray:
        """The pixels that are read, or the first if none is; (n',)."""
        pixels = np.flatnonzero(self._is_read)
        return pixels if len(pixels) else np.zeros(1, dtype=np.int64)

    @cached_property
    def source(self) -> IntArray:
        """``source[t, o]``: the place in ``pixels`` of what is read, or -1; (k', m')."""
        if self._is_read.all():
            return self.shown
        place = np.cumsum(self._is_read) - 1
        return np.where(self.shown >= 0, place[self.shown], -1)

    @property
    def outputs(self) -> int:
        """Number of outputs that are described."""
        return len(self.rows)

    @property
    def single(self) -> bool:
        """Whether one tap is left, so that the axis factors out."""
        return len(self.taps) == 1

    @property
    def reach(self) -> int:
        """Taps from the first to the last that are left, those between them included."""
        return int(self.taps[-1] - self.taps[0]) + 1

    @cached_property
    def counts(self) -> IntArray:
        """How often each pixel is read; (n',)."""
        live = self.source[self.source >= 0]
        return np.bincount(live, minlength=len(self.pixels)).astype(np.int64)

    @cached_property
    def overlap(self) -> IntArray:
        """How often the taps t and u that are left share a pixel; (k', k')."""
        return shared_reads(self.source)

    @property
    def pixels_per_output(self) -> int:
        """Pixels read for each output, the stride of a cyclic axis."""
        return len(self.pixels) // self.outputs

    @cached_property
    def cyclic(self) -> bool:
        """Whether all taps shift together, modulo the pixels read.

        That is ``source[t, o] = source[t, 0] + pixels_per_output o`` for all t and o.
        """
        count = len(self.pixels)
        if count % self.outputs or (self.source < 0).any():
            return False
        steps = self.pixels_per_output * np.arange(self.outputs)
        return bool((self.source == (self.source[:, :1] + steps) % count).all())

    def on_ring(self, half: bool) -> tuple[IntArray, int]:
        """The place that each tap of output 0 reads, and pixels per output, of a ring.

        Args:
            half: Whether the axis is half of it, or all of it, cyclic.
        """
        if half:
            return self.lags - self.lags[0], 1
        return self.source[:, 0], self.pixels_per_output

    @cached_property
    def lags(self) -> IntArray:
        """The coordinate that each tap of output 0 reads, ``lag_t``; (k',)."""
        return self.axis.lags[self.taps]

    @cached_property
    def coordinates(self) -> IntArray:
        """``s o + lag_t``: where each read would be on an endless line; (k', m')."""
        found: IntArray = np.add.outer(self.lags, self.axis.stride * self.rows)
        return found

    @cached_property
    def used(self) -> tuple[IntArray, IntArray]:
        """The coordinates at which a pixel is read, and the place of that pixel."""
        live = self.source >= 0
        used, first = np.unique(self.coordinates[live], return_index=True)
        return used, self.source[live][first]

    @property
    def isometric(self) -> bool:
        """Whether no pixel is shown at two coordinates."""
        return len(self.used[0]) == len(self.pixels)


def at_live_taps(weight: Tensor, axes: Sequence[Reads]) -> Tensor:
    """The weight at the taps that read something; differentiable.

    Args:
        weight: (channels, channels, *kernel).
        axes: What each axis reads.
    """
    for j, read in enumerate(axes):
        if len(read.taps) < weight.shape[2 + j]:
            taps = torch.as_tensor(read.taps, device=weight.device)
            weight = weight.index_select(2 + j, taps)
    return weight
