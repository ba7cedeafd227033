"""The rows of an axis that read beyond its ends, padded and with zeros there.

Behind the last pixel they are the same for the reversed kernel, with as much padding as
the outputs there really read: it depends on the size modulo the stride. On a circle the
rows at one end read pixels of the other, and both are one table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convspec.arrays import IntArray
from convspec.tori.every_size import ways
from convspec.tori.tap_range import TapRange

__all__ = ["Edge", "edges"]


@dataclass(frozen=True)
class Edge:
    """The pixels that outputs around an end read, ``[tap, row]``, or -1 for a zero.

    Attributes:
        padded: Of the layer's outputs beyond the border.
        zeros: With zeros for padding, of all outputs beyond it that read a pixel.
        inside: Of some outputs next to it, which read pixels only.
    """

    padded: IntArray
    zeros: IntArray
    inside: IntArray

    @property
    def width(self) -> int:
        """Pixels that any of these read."""
        reads = (self.padded, self.zeros, self.inside)
        return 1 + max(int(read.max(initial=-1)) for read in reads)


def edges(taps: TapRange, inner: int, divisible: bool) -> tuple[list[Edge], int]:
    """All edges that sizes can have, and a number of pixels that holds those of one size.

    Args:
        taps: The taps that are not zero.
        inner: Outputs inside each border.
        divisible: Whether only sizes are meant that the stride divides.
    """
    stride = taps.axis.stride
    spare = taps.before + taps.after - taps.extent
    # positions behind the last output's, (n + spare) modulo the stride
    left = [spare % stride] if divisible else list(range(stride))
    first = _Side(taps, taps.before, inner, False)
    last = [_Side(taps, taps.after - rest, inner, True) for rest in left]
    if taps.axis.mode == "circular":
        closed = spare % stride if ways(taps, True)[0].count == 1 else -1
        sides = [side for rest, side in zip(left, last, strict=True) if rest != closed]
        found = [_seam(first, side) for side in sides if max(first.pad, side.pad) > 0]
        return found, max((edge.width for edge in found), default=0)
    ends = [[side.mirrored for side in some if side.pad > 0] for some in ([first], last)]
    widths = [max((edge.width for edge in end), default=0) for end in ends]
    return ends[0] + ends[1], sum(widths)


@dataclass(frozen=True)
class _Side:
    """The outputs around one end of an axis, on the pixels counted from that end.

    Attributes:
        taps: The taps that are not zero.
        pad: Positions beyond the border that the outermost output reads, if positive.
        inner: Outputs inside.
        backward: Whether this is the far end, where the kernel is reversed.
    """

    taps: TapRange
    pad: int
    inner: int
    backward: bool

    @property
    def padded(self) -> IntArray:
        """The positions of the layer's outputs beyond the border, negative there."""
        return self._positions(0, self._crossing)

    @property
    def zeros(self) -> IntArray:
        """Of all outputs beyond it of which a tap may read a pixel, -1 for none."""
        # the first of them has its last tap on a pixel
        first = -((self.taps.extent - 1 - self.pad) // self.taps.axis.stride)
        return np.maximum(self._positions(first, self._crossing), -1)

    @property
    def inside(self) -> IntArray:
        """Of the inner outputs."""
        return self._positions(self._crossing, self._crossing + self.inner)

    @property
    def mirrored(self) -> Edge:
        """With the padding that shows pixels near this border."""
        padded, mode = self.padded, self.taps.axis.mode
        beyond = {"reflect": -padded, "symmetric": -padded - 1}.get(mode, 0 * padded)
        return Edge(np.where(padded < 0, beyond, padded), self.zeros, self.inside)

    @property
    def _crossing(self) -> int:
        """The first output that reads pixels only, or would without the border."""
        return -(-self.pad // self.taps.axis.stride)

    def _positions(self, start: int, stop: int) -> IntArray:
        """Where the taps of these outputs read, from the border on; (k, m)."""
        axis = self.taps.axis
        lags = axis.dilation * np.arange(self.taps.kernel, dtype=np.int64) - self.pad
        found = np.add.outer(lags, axis.stride * np.arange(start, stop, dtype=np.int64))
        return found[::-1] if self.backward else found


def _seam(first: _Side, last: _Side) -> Edge:
    """Both ends of a circle: the pixels of the first, then those of the last.

    Position -1 of one end is pixel 0 of the other.
    """
    sides = first, last
    own = [
        max(
            int(table.max(initial=-1)) for table in (side.padded, side.zeros, side.inside)
        )
        for side in sides
    ]
    crossed = [-1 - int(side.padded.min(initial=0)) for side in sides]
    begin = 1 + max(own[0], crossed[1])
    padded = [
        np.where(first.padded < 0, begin - 1 - first.padded, first.padded),
        np.where(last.padded < 0, -1 - last.padded, begin + last.padded),
    ]
    zeros = [first.zeros, np.where(last.zeros < 0, -1, begin + last.zeros)]
    inside = [first.inside, begin + last.inside]
    return Edge(_beside(padded), _beside(zeros), _beside(inside))


def _beside(tables: Sequence[IntArray]) -> IntArray:
    """Tables of outputs in one."""
    return np.concatenate(tables, axis=1)
