"""What a padding mode does to the supremum of the symbol, whatever the input size.

By the theorem of :mod:`convspec.tori.places` the norm at one size is at most the supremum
times the square root of how often rows or pixels are repeated there. Here is how often
they are at most, over all sizes that torch accepts:

* circular: with more padding than the kernel needs some rows of the circulant occur
  twice or three times. Some sizes share no factor with the stride: only the symbol
  without stride serves for all.
* reflect, symmetric, replicate: A is a convolution without padding after the padding
  map, a 0/1 matrix with one 1 in each row, whose norm squared is how often it shows a
  pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convspec.operators.geometry import Axis
from convspec.operators.padding_mode import mode_words

__all__ = ["Repeats", "conditions", "every_size"]


STRIDED = " and whose stride divides it"


@dataclass(frozen=True)
class Repeats:
    """How often one axis repeats rows or pixels, over all input sizes.

    Attributes:
        count: The norm squared is at most this many times the supremum squared.
        with_stride: Whether the supremum is that of the symbol with stride, rather than
            of the stride-1 symbol.
    """

    count: int = 1
    with_stride: bool = True


def every_size(axis: Axis) -> Repeats:
    """The repeats of an axis at every input size that torch accepts with this padding."""
    pad = axis.before + axis.after
    if axis.mode == "zeros" or pad == 0:
        return Repeats()
    if axis.mode == "circular":
        excess = pad - (axis.extent - 1)
        # torch wraps once: n >= before, after; then s (m - 1) <= n + excess - 1
        smallest = max(axis.before, axis.after)
        count = 1 if excess <= 0 else 2 + (excess - 1) // smallest
        return Repeats(count, with_stride=axis.stride == 1)
    if axis.mode == "reflect":
        # one pixel is mirrored at both ends if n <= pad + 1, where torch accepts that
        both = min(axis.before, axis.after) > 0 and 2 * pad >= axis.extent - 1
        return Repeats(3 if both else 2)
    if axis.mode == "symmetric":
        # the same, of sizes below both together, with a pixel of the border more
        both = min(axis.before, axis.after) > 0 and 2 * pad - 1 >= axis.extent
        return Repeats(3 if both else 2)
    if axis.mode != "replicate":
        raise NotImplementedError(f"how often {axis.mode} padding repeats pixels")
    count = 1 + max(axis.before, axis.after)
    if 1 + pad >= axis.extent:  # a single pixel, shown to all outputs and taps
        outputs = (1 + pad - axis.extent) // axis.stride + 1
        count = max(count, min(1 + pad, outputs * _phases(axis)))
    return Repeats(count)


def conditions(axes: Sequence[Axis]) -> str:
    """For which operators the bound holds, in words."""
    repeats = [every_size(axis) for axis in axes]
    count = math.prod(repeat.count for repeat in repeats)
    if all(repeat == Repeats() for repeat in repeats):
        kinds = "zero padding of any amount, circular padding that keeps the size"
        strided = max(axis.stride for axis in axes) > 1
        return f"every input size; {kinds}{STRIDED if strided else ''}"
    modes = mode_words([axis.mode for axis in axes])
    words = [f"every input size; {modes} padding of this amount"]
    if not all(repeat.with_stride for repeat in repeats):
        words.append(
            "upper end without stride, as sizes need that the stride does not divide"
        )
    if count > 1:
        several = [
            axis.mode == "circular"
            for axis, repeat in zip(axes, repeats, strict=True)
            if repeat.count > 1
        ]
        what = " and ".join(["rows"] * any(several) + ["pixels"] * (not all(several)))
        words.append(f"upper end times sqrt({count}) for {what} that are repeated")
    return "; ".join(words)


def _phases(axis: Axis) -> int:
    """Pixels per output of the symbol: its stride once common factors are gone."""
    return min(axis.phases, axis.kernel)
