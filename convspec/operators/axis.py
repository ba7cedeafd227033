"""One spatial axis of a convolution: the pixel that each tap of each output reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from convspec.arrays import IntArray
from convspec.operators.padding_mode import PADDING_MODES

__all__ = ["Axis", "most_common", "shared_reads"]


@dataclass(frozen=True)
class Axis:
    """One spatial axis of a convolution.

    Attributes:
        size: Number of input pixels n.
        output: Number of outputs m.
        kernel: Number of taps k.
        stride: Pixels between neighbouring outputs.
        dilation: Pixels between neighbouring taps.
        before: Padding in front of the first pixel.
        after: Padding behind the last pixel.
        mode: One of :data:`convspec.operators.padding_mode.PADDING_MODES`.
    """

    size: int
    output: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    mode: str = "zeros"

    @property
    def extent(self) -> int:
        """Pixels spanned by the kernel, d (k - 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def span(self) -> int:
        """Padded positions, before + n + after."""
        return self.before + self.size + self.after

    @property
    def phases(self) -> int:
        """Pixels per output that taps can read: ``s / gcd(s, d)``."""
        return self.stride // math.gcd(self.stride, self.dilation)

    @property
    def lags(self) -> IntArray:
        """Where each tap of output 0 reads on an endless line, ``d t - before``; (k,)."""
        taps = np.arange(self.kernel, dtype=np.int64)
        lags: IntArray = self.dilation * taps - self.before
        return lags

    @cached_property
    def padded(self) -> IntArray:
        """The pixel each padded position shows, -1 for a zero; (before + n + after,)."""
        pixels = np.arange(self.size, dtype=np.int64)
        width = (self.before, self.after)
        if self.mode == "zeros":
            return np.pad(pixels, width, constant_values=-1)
        shown: IntArray = np.pad(pixels, width, mode=PADDING_MODES[self.mode])
        return shown

    @cached_property
    def source(self) -> IntArray:
        """``source[t, o]``: the pixel that tap t of output o reads, or -1; (k, m)."""
        source: IntArray = self.padded[self._coordinates + self.before]
        return source

    @property
    def _coordinates(self) -> IntArray:
        """Where each tap of each output reads on an endless line; (k, m)."""
        outputs = self.stride * np.arange(self.output, dtype=np.int64)
        coordinates: IntArray = np.add.outer(self.lags, outputs)
        return coordinates

    @cached_property
    def live(self) -> npt.NDArray[np.bool_]:
        """Which taps read a pixel for some output; (k,)."""
        return np.asarray((self.source >= 0).any(axis=1))

    @property
    def reads_padding(self) -> bool:
        """Whether any tap of an output falls into the padding."""
        place = self._coordinates
        return bool(((place < 0) | (place >= self.size)).any())

    @cached_property
    def overlap(self) -> IntArray:
        """How often taps t and u share a pixel, ``trace(S[t]^T S[u])``; (k, k)."""
        return shared_reads(self.source)

    @cached_property
    def most_reads(self) -> int:
        """The most outputs of which one tap reads one pixel; 1 but for some paddings."""
        return max(most_common(reads[reads >= 0]) for reads in self.source)


def shared_reads(source: IntArray) -> IntArray:
    """``M[t, u]``: the outputs for which taps t and u read one pixel; (k, k)."""
    shared = np.empty((len(source), len(source)), dtype=np.int64)
    for tap, reads in enumerate(source):
        shared[tap] = ((source == reads) & (reads >= 0)).sum(axis=1)
    return shared


def most_common(values: IntArray) -> int:
    """How often the most frequent of some values from 0 up occurs; 1 for no values."""
    return max(1, int(np.bincount(values, minlength=1).max()))
