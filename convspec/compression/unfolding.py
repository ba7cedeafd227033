"""Unfoldings of a kernel, and the two kernels that one of low rank is a product of.

A kernel is a matrix once its dimensions are dealt to rows and columns. What stands with
the input channels is the first of two convolutions, what stands with the output channels
the second, and the rank is the number of channels between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from convspec.operators.axis import Axis
from convspec.operators.geometry import ConvGeometry

__all__ = ["Unfolding"]


@dataclass(frozen=True)
class Unfolding:
    """How a convolution is split in two: the axes of the first; the second has the rest.

    Attributes:
        geometry: Of the convolution.
        first: Axes of which the first convolution has the taps.
    """

    geometry: ConvGeometry
    first: tuple[int, ...]

    @property
    def second(self) -> tuple[int, ...]:
        """Axes of which the second convolution has the taps."""
        return tuple(j for j in range(len(self.geometry.axes)) if j not in self.first)

    @cached_property
    def order(self) -> list[int]:
        """From (groups, out, in, *kernel) to rows (out, second), columns (in, first)."""
        return [0, 1, *(3 + j for j in self.second), 2, *(3 + j for j in self.first)]

    def matrices(self, weight: Tensor) -> Tensor:
        """The unfolded kernel of each group.

        Args:
            weight: (groups * out, in, *kernel).

        Returns:
            (groups, out * taps of second, in * taps of first).
        """
        groups = self.geometry.groups
        blocks = weight.reshape(groups, -1, *weight.shape[1:])
        rows = blocks.shape[1] * math.prod(blocks.shape[3 + j] for j in self.second)
        return blocks.permute(self.order).reshape(groups, rows, -1)

    def folded(self, matrices: Tensor) -> Tensor:
        """The kernel of unfolded ones, the inverse of :meth:`matrices`."""
        geometry = self.geometry
        groups, taps = geometry.groups, [axis.kernel for axis in geometry.axes]
        sizes = [groups, geometry.c_out // groups, geometry.c_in // groups, *taps]
        blocks = matrices.reshape([sizes[dim] for dim in self.order])
        back = [self.order.index(dim) for dim in range(len(sizes))]
        return blocks.permute(back).reshape(geometry.c_out, *sizes[2:])

    def first_kernel(self, columns: Tensor) -> Tensor:
        """``(groups, rank, in * taps) -> (groups * rank, in, *kernel)``, else 1."""
        groups, rank = columns.shape[:2]
        into = self.geometry.c_in // groups
        return columns.reshape(groups * rank, into, *self._taps(self.first))

    def second_kernel(self, rows: Tensor) -> Tensor:
        """``(groups, out * taps, rank) -> (groups * out, rank, *kernel)``, else 1."""
        rank = rows.shape[2]
        out, sizes = self.geometry.c_out, self._taps(self.second)
        apart = rows.reshape(out, math.prod(sizes), rank).transpose(1, 2)
        return apart.reshape(out, rank, *sizes)

    def geometries(self, rank: int) -> tuple[ConvGeometry, ConvGeometry]:
        """Of both convolutions: each axis is read by the one that has its taps.

        Axes do not see one another, and a map of channels alone passes any padding; so
        it is exact for every stride, dilation and padding.
        """
        axes, between = self.geometry.axes, self.geometry.groups * rank
        before, behind = [], []
        for j, axis in enumerate(axes):
            own = j in self.first
            before.append(axis if own else Axis(axis.size, axis.size, 1))
            behind.append(Axis(axis.output, axis.output, 1) if own else axis)
        return (
            replace(self.geometry, c_out=between, axes=tuple(before)),
            replace(self.geometry, c_in=between, axes=tuple(behind)),
        )

    def _taps(self, axes: Sequence[int]) -> list[int]:
        kernel = [axis.kernel for axis in self.geometry.axes]
        return [k if j in axes else 1 for j, k in enumerate(kernel)]
