"""The rows of an axis that read beyond its first pixel, padded and with zeros there.

Behind the last pixel they are the same for the reversed kernel, with as much padding as
the outputs there really read: it depends on the size modulo the stride.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convspec.arrays import IntArray
from convspec.tori.tap_range import TapRange

__all__ = ["MIRRORS", "Border", "borders"]

# modes that show pixels near the border in front of it: where position -1, -2, ... is
MIRRORS = ("reflect", "replicate", "symmetric")


@dataclass(frozen=True)
class Border:
    """The outputs around one end of an axis, on the pixels counted from that end.

    Attributes:
        taps: The taps that are not zero.
        pad: Positions beyond the border that the outermost output reads; positive.
        backward: Whether this is the far end, where the kernel is reversed.
        inner: Outputs next to the border's that are described, which read pixels only.
    """

    taps: TapRange
    pad: int
    backward: bool
    inner: int = 0

    @property
    def padded(self) -> IntArray:
        """``[tap, row]``: the pixels that the layer's outputs beyond the border read."""
        positions = self._positions(0, self._crossing)
        mode = self.taps.axis.mode
        beyond = {"reflect": -positions, "symmetric": -positions - 1}.get(mode, 0)
        return np.where(positions < 0, beyond, positions)

    @property
    def zeros(self) -> IntArray:
        """The same with zeros for padding, -1, of all outputs that read a pixel."""
        # the first of them has its last tap on a pixel
        first = -((self.taps.extent - 1 - self.pad) // self.taps.axis.stride)
        positions = self._positions(first, self._crossing)
        return np.where(positions < 0, -1, positions)

    @property
    def inside(self) -> IntArray:
        """The pixels of the inner outputs."""
        return self._positions(self._crossing, self._crossing + self.inner)

    @property
    def width(self) -> int:
        """Pixels that any of these read."""
        reads = (self.padded, self.zeros, self.inside)
        return 1 + max(int(read.max(initial=-1)) for read in reads)

    @property
    def _crossing(self) -> int:
        """The first output that reads pixels only."""
        return -(-self.pad // self.taps.axis.stride)

    def _positions(self, start: int, stop: int) -> IntArray:
        """Where the taps of these outputs read, from the border on; (k, m)."""
        axis = self.taps.axis
        lags = axis.dilation * np.arange(self.taps.kernel, dtype=np.int64) - self.pad
        found = np.add.outer(lags, axis.stride * np.arange(start, stop, dtype=np.int64))
        return found[::-1] if self.backward else found


def borders(taps: TapRange, divisible: bool) -> list[list[Border]]:
    """What the two ends can look like: one list for the first, one for the last."""
    stride = taps.axis.stride
    spare = taps.before + taps.after - taps.extent
    # positions behind the last output's, (n + spare) modulo the stride
    left = [spare % stride] if divisible else range(stride)
    pads = [taps.before], [taps.after - rest for rest in left]
    return [
        [Border(taps, pad, backward) for pad in some if pad > 0]
        for backward, some in zip((False, True), pads, strict=True)
    ]
