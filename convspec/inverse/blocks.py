"""The blocks that a convolution is a direct sum of, and how images fall into them.

A part takes one kind of place on each axis (:mod:`convspec.inverse.axis_parts`). Its
outputs and pixels, gathered place by place and taken to frequencies where the axis is a
ring or half of one, are unitary images of each other's blocks:

    A = sum over parts of  U (F_1 (x) ... (x) F_k) V^H,

U and V with orthonormal columns (those of U that are 0, as the constant among sines, meet
rows of 0), one factor F for each axis along which the kernel is a
product, and the last for the rest with the channels. Usually there is no such axis, and
k = 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.inverse.axis_parts import AxisPart
from convspec.inverse.frequencies import Frequencies
from convspec.inverse.half_waves import Kinds, at_waves, by_kind
from convspec.operators.half_ring import Waves
from convspec.rounding.directed import square_root, up

__all__ = ["Kernel", "Part"]


@dataclass(frozen=True)
class Kernel:
    """A kernel as a product along some axes.

    Attributes:
        vectors: By axis, (groups, taps).
        rest: (groups, out channels, in channels, *taps), one tap on those axes.
        distance: Bound on the norm of what the operator of the product differs by.
    """

    vectors: dict[int, Tensor]
    rest: Tensor
    distance: float = 0.0


@dataclass(frozen=True)
class Part:
    """A direct sum over groups, frequencies and copies.

    Attributes:
        kernel: Of the operator.
        axes: What each axis takes part with.
    """

    kernel: Kernel
    axes: tuple[AxisPart, ...]

    @cached_property
    def groupings(self) -> list[list[int]]:
        """The axes of each factor; the last is that of the channels."""
        alone = [[j] for j in sorted(self.kernel.vectors)]
        return [*alone, [j for j in range(len(self.axes)) if [j] not in alone]]

    @cached_property
    def frequencies(self) -> Frequencies:
        """Those of the axes that have any."""
        return Frequencies(self.axes, self.groupings, self.real)

    @property
    def distance(self) -> float:
        """Bound on the norm of what the operator of the blocks differs from A by."""
        found = self.kernel.distance
        for part in self.axes:
            if part.half is not None and part.half.distance:
                others = math.prod(
                    other.shows for other in self.axes if other is not part
                )
                found = up(found + up(part.half.distance * square_root(others)))
        return found

    @property
    def real(self) -> bool:
        """Whether the kernel is real."""
        return not self.kernel.rest.is_complex()

    @property
    def dtype(self) -> torch.dtype:
        """Of the blocks."""
        dtype = self.kernel.rest.dtype
        return dtype.to_complex() if self.frequencies.rings else dtype

    @property
    def channels(self) -> tuple[int, int]:
        """Output and input channels of a group."""
        found = self.kernel.rest.shape
        return found[1], found[2]

    @property
    def groups(self) -> int:
        """Number of groups."""
        return len(self.kernel.rest)

    @property
    def copies(self) -> int:
        """How often each block occurs beside the frequencies."""
        return math.prod(part.copies for part in self.axes if not part.wave)

    def widths(self, left: bool) -> list[int]:
        """Rows of each factor, or columns."""
        found = [
            math.prod(self.axes[j].rows if left else self.axes[j].columns for j in some)
            for some in self.groupings
        ]
        found[-1] *= self.channels[0 if left else 1]
        return found

    def factors(self) -> list[Tensor]:
        """The blocks of each factor; (groups, frequencies, rows, columns)."""
        found = []
        for some in self.groupings[:-1]:
            (j,) = some
            vector = self.kernel.vectors[j][:, None, None]  # (groups, 1, 1, taps)
            found.append(self._assembled(vector, some))
        rest = self.kernel.rest
        rest = rest.squeeze(tuple(3 + j for j in sorted(self.kernel.vectors)))
        found.append(self._assembled(rest, self.groupings[-1]))
        return found

    def _assembled(self, weight: Tensor, axes: Sequence[int]) -> Tensor:
        """``sum_t K_t (x) M_1[t_1] (x) ...`` at all frequencies of these axes."""
        weight = weight.to(self.dtype)  # (groups, out, in, *taps)
        for j in axes:
            # the taps in front of all that was appended: (..., f, rows, columns)
            taps = torch.as_tensor(self.axes[j].taps, device=weight.device)
            left = weight.index_select(3, taps)
            half = self.axes[j].half
            if half is not None:
                weight = at_waves(left, half)
                continue
            table = self.axes[j].table(self.frequencies.of.get(j), self.dtype)
            weight = torch.tensordot(left, table.to(weight.device), dims=([3], [0]))
        places = range(len(axes))
        order = [
            0,
            *(3 + 3 * i for i in places),
            1,
            *(4 + 3 * i for i in places),
            2,
            *(5 + 3 * i for i in places),
        ]
        shape = weight.permute(order).shape
        d = len(axes)
        sizes = (
            shape[0],
            math.prod(shape[1 : 1 + d]),
            math.prod(shape[1 + d : 2 + 2 * d]),
            math.prod(shape[2 + 2 * d :]),
        )
        return weight.permute(order).reshape(sizes)

    def taken(self, images: Tensor, left: bool) -> Tensor:
        """Images as columns of the blocks: U^H y for outputs, V^H x for pixels.

        Args:
            images: (b, channels, *sizes) of the dtype of the kernel.
            left: Whether these are outputs.

        Returns:
            (groups, *frequencies, *widths, b * copies), a dimension for each factor.
        """
        found = images
        for j, places in enumerate(self._places(left)):
            index = torch.from_numpy(places.reshape(-1)).to(images.device)
            found = found.index_select(2 + j, index)
        sizes = [size for places in self._places(left) for size in places.shape]
        found = found.reshape(len(images), self.groups, -1, *sizes)
        for j, kinds in self._halves(left):
            found = by_kind(found, kinds, 3 + 2 * j, Waves.taken)
        turned = [3 + 2 * j for j in self.frequencies.rings]
        if turned:
            transform = torch.fft.rfftn if self.real else torch.fft.fftn
            found = transform(found, dim=turned, norm="ortho")
        order = self._order
        shape = [self.groups, *self.frequencies.counts, *self.widths(left), -1]
        return found.permute(order).reshape(shape)

    def placed(self, columns: Tensor, images: Tensor, left: bool) -> None:
        """Write what columns of the blocks are as images: U and V, beside the others.

        Args:
            columns: As :meth:`taken` returns them.
            images: (b, channels, *sizes), zeros where this part is.
            left: Whether these are outputs.
        """
        places = self._places(left)
        channels = self.channels[0 if left else 1]
        sizes = [len(images), self.groups, channels]
        for j, (part, shape) in enumerate(
            zip(self.axes, (places.shape for places in places), strict=True)
        ):
            sizes += [len(self.frequencies.of[j]) if part.wave else shape[0], shape[1]]
        order = self._order
        found = columns.reshape([sizes[dim] for dim in order])
        found = found.permute([order.index(dim) for dim in range(len(order))])
        if self.frequencies.rings:
            turned = [3 + 2 * j for j in self.frequencies.rings]
            lengths = [self.axes[j].copies for j in self.frequencies.rings]
            inverse = torch.fft.irfftn if self.real else torch.fft.ifftn
            found = inverse(found, s=lengths, dim=turned, norm="ortho")
        for j, kinds in self._halves(left):
            found = by_kind(found, kinds, 3 + 2 * j, Waves.placed)
        found = found.reshape(
            len(images), self.groups * channels, *(some.size for some in places)
        )
        images[self._where(left)] = found

    def mark(self, images: Tensor, left: bool) -> None:
        """Write True at all places of this part."""
        images[self._where(left)] = True

    def _where(self, left: bool) -> tuple[slice | Tensor, ...]:
        """The places as an index of images."""
        index = [torch.from_numpy(some.reshape(-1)) for some in self._places(left)]
        grid = torch.meshgrid(*index, indexing="ij") if index else ()
        every: tuple[slice | Tensor, ...] = (slice(None), slice(None))
        return every + tuple(grid)

    def _halves(self, left: bool) -> Iterator[tuple[int, Kinds]]:
        """Each half of a ring, and the waves of the channels."""
        for j in self.frequencies.waves:
            half = self.axes[j].half
            if half is not None and left:
                yield j, (half.kinds, half.which.reshape(self.groups, -1))
            elif half is not None:
                yield j, ((half.pixels,), np.zeros((1, 1), dtype=np.int64))

    def _places(self, left: bool) -> list[IntArray]:
        return [part.outputs if left else part.pixels for part in self.axes]

    @property
    def _order(self) -> list[int]:
        """From (b, groups, channels, copies_1, width_1, ...) to groups, waves, widths.

        Images and copies come last.
        """
        widths: list[int] = []
        for some in self.groupings:
            widths += [2] * (some is self.groupings[-1]) + [4 + 2 * j for j in some]
        still = [3 + 2 * j for j, part in enumerate(self.axes) if not part.wave]
        return [1, *(3 + 2 * j for j in self.frequencies.waves), *widths, 0, *still]
