"""The taps of an axis that are not zero, and what padding they read at any input size.

Taps in front of the first and behind the last that hold a number read padding to no
effect. Without them the same outputs read from ``before - d first`` pixels in front of
the image, of padding that counts; where that is negative they never read the first
pixels. What torch accepts is a matter of all taps: see :attr:`TapRange.least`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convspec.operators.axis import Axis

__all__ = ["TapRange", "at_tap_ranges", "tap_ranges"]


@dataclass(frozen=True)
class TapRange:
    """Neighbouring taps of an axis, at every input size.

    Attributes:
        axis: The axis, of whatever size.
        first: The first of the taps.
        last: The last of them.
    """

    axis: Axis
    first: int
    last: int

    @property
    def kernel(self) -> int:
        """Number of taps."""
        return self.last - self.first + 1

    @property
    def extent(self) -> int:
        """Pixels spanned by the taps."""
        return self.axis.dilation * (self.kernel - 1) + 1

    @property
    def before(self) -> int:
        """Padding in front that they read; negative where pixels are left out."""
        return self.axis.before - self.axis.dilation * self.first

    @property
    def after(self) -> int:
        """Padding behind that they may read; negative where pixels are left out."""
        return self.axis.after - self.axis.dilation * (self.axis.kernel - 1 - self.last)

    @property
    def pads(self) -> bool:
        """Whether they read padding at any size."""
        return max(self.before, self.after) > 0

    @property
    def least(self) -> int:
        """The least size that is accepted; all larger ones are."""
        axis = self.axis
        pad = max(axis.before, axis.after)
        room = {"circular": pad, "reflect": pad + 1, "symmetric": pad}.get(axis.mode, 1)
        return max(1, room, axis.extent - axis.before - axis.after)

    def outputs(self, size: int) -> int:
        """Outputs at a size."""
        axis = self.axis
        return (axis.before + size + axis.after - axis.extent) // axis.stride + 1

    def reach(self, size: int) -> int:
        """Positions from the first that is read to the last, at a size."""
        return self.axis.stride * (self.outputs(size) - 1) + self.extent

    def of_size(self, size: int) -> Axis:
        """The axis at a size."""
        return replace(self.axis, size=size, output=self.outputs(size))


def tap_ranges(weight: Tensor, axes: Sequence[Axis]) -> tuple[TapRange, ...]:
    """Per axis the taps from the first to the last that are not zero; all of zeros.

    Args:
        weight: (channels, channels, *kernel).
        axes: Of the convolution.
    """
    some = (weight.detach() != 0).flatten(0, 1).any(0)
    ranges = []
    for j, axis in enumerate(axes):
        others = [i for i in range(len(axes)) if i != j]
        alive = some.any(dim=others) if others else some
        found = torch.nonzero(alive).flatten().tolist() or [0, axis.kernel - 1]
        ranges.append(TapRange(axis, found[0], found[-1]))
    return tuple(ranges)


def at_tap_ranges(weight: Tensor, ranges: Sequence[TapRange]) -> Tensor:
    """The weight at these taps; differentiable."""
    for j, taps in enumerate(ranges):
        weight = weight.narrow(2 + j, taps.first, taps.kernel)
    return weight
