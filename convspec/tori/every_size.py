"""What a padding mode does to the supremum of the symbol, whatever the input size.

By the theorem of :mod:`convspec.tori.places` the norm at one size is at most the supremum
times the square root of how often rows or pixels are repeated there. Here is how often
they are at most, over all sizes that torch accepts:

* circular, on a circle: with more padding than the kernel needs some rows of the
  circulant occur twice or three times. Some sizes share no factor with the stride: only
  the symbol without stride serves for all of them, and that with stride for those that
  the stride divides.
* circular, on a line: the outputs read ``s (m - 1) + extent`` neighbouring positions of
  an endless line on which the n pixels recur, so each is shown at most
  ``ceil((s (m - 1) + extent) / n)`` times, twice where both ends together pad no more
  than n. The symbol with stride serves at every size: at most ``sqrt(2)`` of it is added
  for the seam.
* reflect, symmetric: on a ring of 2 n - 2 or 2 n places, the pixels and their mirror
  images, each pixel stands twice at most, and the outputs are some of the ring's. The
  ring is closed with stride 1 only, at every size.
* reflect, symmetric, replicate: A is a convolution without padding after the padding
  map, a 0/1 matrix with one 1 in each row, whose norm squared is how often it shows a
  pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convspec.operators.padding_mode import mode_words
from convspec.tori.tap_range import TapRange

__all__ = ["Repeats", "conditions", "enlarged", "ways"]


@dataclass(frozen=True)
class Repeats:
    """How often one axis repeats rows or pixels, over all input sizes.

    Attributes:
        count: The norm squared is at most this many times the supremum squared.
        with_stride: Whether the supremum is that of the symbol with stride, rather than
            of the stride-1 symbol.
        what: What is repeated.
    """

    count: int = 1
    with_stride: bool = True
    what: str = "pixels"

    @property
    def free(self) -> bool:
        """Whether the supremum of the symbol itself is a bound."""
        return self.count == 1 and self.with_stride


def ways(taps: TapRange, divisible: bool = False) -> list[Repeats]:
    """The repeats of an axis at every size that is accepted, as they may be counted.

    Args:
        taps: The taps that are not zero.
        divisible: Whether only sizes are meant that the stride divides.
    """
    mode = taps.axis.mode
    if mode == "zeros":
        return [Repeats()]
    if mode == "circular":
        return _circular(taps, divisible)
    if not taps.pads:
        return [Repeats()]
    if mode in ("reflect", "symmetric"):
        return _mirrored(taps)
    if mode != "replicate":
        raise NotImplementedError(f"how often {mode} padding repeats pixels")
    return [Repeats(_replicated(taps))]


def conditions(ranges: Sequence[TapRange], divisible: bool = False) -> str:
    """The sizes and the padding for which the bound of a layer holds, in words."""
    sizes = "every input size" + " that the stride divides" * divisible
    if all(way.free for taps in ranges for way in ways(taps, divisible)):
        kinds = "zero padding of any amount, circular padding that keeps the size"
        strided = max(taps.axis.stride for taps in ranges) > 1 and not divisible
        return f"{sizes}; {kinds}{' and whose stride divides it' if strided else ''}"
    modes = mode_words([taps.axis.mode for taps in ranges])
    return f"{sizes}; {modes} padding of this amount"


def enlarged(repeats: Sequence[Repeats]) -> str:
    """How the upper end differs from the supremum of the symbol, in words."""
    words = []
    if not all(repeat.with_stride for repeat in repeats):
        words.append(
            "upper end without stride, as sizes need that the stride does not divide"
        )
    count = math.prod(repeat.count for repeat in repeats)
    if count > 1:
        kinds = {repeat.what for repeat in repeats if repeat.count > 1}
        what = " and ".join(sorted(kinds, reverse=True))
        words.append(f"upper end times sqrt({count}) for {what} that are repeated")
    return "; ".join(words)


def _circular(taps: TapRange, divisible: bool) -> list[Repeats]:
    """On a circle and on a line; one of them if the symbol is the same."""
    line = Repeats(_shown(taps, divisible))
    if line.count == 1:
        return [line]
    # one phase: the stride does not change the symbol
    same = divisible or min(taps.axis.phases, taps.kernel) == 1
    circle = Repeats(_rows(taps, divisible), same, "rows")
    if same:
        return [min(circle, line, key=lambda way: way.count)]
    return [circle, line]


def _mirrored(taps: TapRange) -> list[Repeats]:
    """On a ring and on a line; one of them if the symbol is the same.

    From a size to that which is one stride larger the ring grows by twice as many places
    as the outputs span. So the least sizes decide how often they go around it.
    """
    edge = 1 if taps.axis.mode == "reflect" else 0
    # one pixel is mirrored at both ends at sizes up to this one, if accepted
    meet = taps.before + taps.after + 2 * edge - 1 >= taps.least
    line = Repeats(3 if min(taps.before, taps.after) > 0 and meet else 2)
    rows = max(
        -(-(taps.axis.stride * (taps.outputs(size) - 1) + 1) // (2 * (size - edge)))
        for size in range(taps.least, taps.least + taps.axis.stride)
    )
    same = min(taps.axis.phases, taps.kernel) == 1
    ring = Repeats(2 * rows, same)
    if ring.count >= line.count:
        return [line]
    return [ring] if same else [ring, line]


def _rows(taps: TapRange, divisible: bool) -> int:
    """How often a row of the circulant occurs at most."""
    axis, least = taps.axis, taps.least
    spare = axis.before + axis.after - axis.extent
    if divisible:  # n / s + excess outputs on n / s rows of stride s
        excess = spare // axis.stride + 1
        return 1 if excess <= 0 else 1 - (-excess // -(-least // axis.stride))
    # s (m - 1) <= n + spare, and rows are equal whose s o differ by multiples of n
    return 1 if spare < 0 else 2 + spare // least


def _shown(taps: TapRange, divisible: bool) -> int:
    """At how many of the positions that are read one pixel recurs at most.

    From a size to that which is one stride larger the positions grow by as many as the
    pixels: ``reach / n`` falls, if it is above 1. So the least sizes decide.
    """
    stride, least = taps.axis.stride, taps.least
    if divisible:
        sizes = range(-(-least // stride) * stride, -(-least // stride) * stride + 1)
    else:
        sizes = range(least, least + stride)
    return max(1, *(-(-taps.reach(size) // size) for size in sizes))


def _replicated(taps: TapRange) -> int:
    """How often replicate padding shows a pixel at most."""
    count = 1 + max(taps.before, taps.after)
    if taps.least == 1:  # a single pixel, shown to all outputs and taps
        phases = min(taps.axis.phases, taps.kernel)
        count = max(count, min(taps.reach(1), taps.outputs(1) * phases))
    return count
