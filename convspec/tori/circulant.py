"""Operators closed along all axes: as blocks, frequency by frequency, and back.

With kernels as large as the image, and the stride's phases as columns, they are all
operators whose blocks at opposite frequencies are conjugate; any blocks if the kernel may
be complex.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from convspec.errors import GeometryError
from convspec.operators.axis import Axis
from convspec.operators.operator import ConvOperator
from convspec.rounding.scaling import ldexp, real_parts

__all__ = ["Circulant", "require_closed", "whole_kernel"]


@dataclass(frozen=True)
class Circulant:
    """The operators of one shape on a torus, and their blocks.

    Of two opposite frequencies of real kernels the blocks of one are held; first those
    of pairs, then those of frequencies that are their own opposites.

    Attributes:
        shape: Of the kernel, (C_out, C_in / groups, *sizes); tap t reads pixel t for
            output 0.
        groups: Of the convolution.
        strides: Per axis, a divisor of its size.
        real: Whether kernels are.
    """

    shape: tuple[int, ...]
    groups: int
    strides: tuple[int, ...]
    real: bool

    @classmethod
    def of(cls, op: ConvOperator) -> Circulant:
        """Those of the shape of a closed operator, or of what it is the transpose of."""
        shape = (*op.weight.shape[:2], *op.geometry.sizes)
        strides = tuple(axis.stride for axis in op.geometry.axes)
        return cls(shape, op.groups, strides, not op.dtype.is_complex)

    def factors(self, rank: int) -> tuple[Circulant, Circulant]:
        """Into ``rank`` channels of each group, with all strides, and out of them."""
        between = self.groups * rank
        first = replace(self, shape=(between, *self.shape[1:]))
        second = (self.shape[0], rank, *self.grid)
        return first, replace(self, shape=second, strides=(1,) * len(self.grid))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Pixels per axis."""
        return self.shape[2:]

    @property
    def grid(self) -> tuple[int, ...]:
        """Frequencies per axis, which are as many as outputs."""
        return tuple(n // s for n, s in zip(self.sizes, self.strides, strict=True))

    @property
    def block(self) -> tuple[int, int]:
        """(rows, columns) of a block, the columns (channels, *phases)."""
        rows = self.shape[0] // self.groups
        return rows, self.shape[1] * math.prod(self.strides)

    @property
    def entries(self) -> int:
        """Numbers in a kernel, which are as many as in the blocks of all frequencies."""
        return math.prod(self.shape)

    @cached_property
    def _places(self) -> tuple[Tensor, Tensor, Tensor]:
        """Where one of each pair stands, the other one, and those without another."""
        places = np.arange(math.prod(self.grid))
        index = np.unravel_index(places, self.grid)
        opposite = [-i % n for i, n in zip(index, self.grid, strict=True)]
        mirror = np.ravel_multi_index(opposite, self.grid) if self.real else places
        one = np.flatnonzero(places < mirror)
        some = one, mirror[one], np.flatnonzero(places == mirror)
        first, other, alone = map(torch.from_numpy, some)
        return first, other, alone

    @property
    def times(self) -> Tensor:
        """How many frequencies each block stands for; (points,), int64."""
        pairs, _, alone = self._places
        return torch.cat((torch.full_like(pairs, 2), torch.ones_like(alone)))

    def blocks(self, kernel: Tensor) -> Tensor:
        """``sum_q C_q exp(-i <q, w>)``; (points, groups, rows, columns), complex128."""
        taps = kernel.reshape(self._split)
        values = torch.fft.fftn(taps, dim=self._waves).permute(self._order)
        blocks = values.reshape(-1, self.groups, *self.block)
        first, _, alone = self._places
        found: Tensor = blocks[torch.cat((first, alone)).to(blocks.device)]
        return found

    def kernel(self, blocks: Tensor) -> Tensor:
        """The kernel of blocks, the inverse of :meth:`blocks`."""
        first, other, alone = (some.to(blocks.device) for some in self._places)
        every = blocks.new_empty(math.prod(self.grid), *blocks.shape[1:])
        pairs = blocks[: len(first)]
        every[first], every[other] = pairs, pairs.conj()
        every[alone] = blocks[len(first) :]
        order, split = self._order, self._split
        values = every.reshape([split[dim] for dim in order])
        values = values.permute([order.index(dim) for dim in range(len(order))])
        found: Tensor = torch.fft.ifftn(values, dim=self._waves).reshape(self.shape)
        return found.real if self.real else found

    def svd(self, blocks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``U, s, V^H`` of each block, real ones at frequencies without another.

        There vectors of a multiple value, 0 above all, are a choice, and so is their
        phase: of real blocks they are real, as the kernels made of them have to be.
        """
        if not self.real:
            u, s, vh = torch.linalg.svd(blocks, full_matrices=False)
            return u, s, vh
        pairs = len(self._places[0])
        some = torch.linalg.svd(blocks[:pairs], full_matrices=False)
        others = torch.linalg.svd(blocks[pairs:].real, full_matrices=False)
        u, s, vh = (
            torch.cat((one, two.to(one.dtype)))
            for one, two in zip(some, others, strict=True)
        )
        return u, s, vh

    def operator(self, kernel: Tensor) -> ConvOperator:
        """The convolution with a kernel, which is laid with tap 0 in its middle."""
        sizes = zip(self.sizes, self.strides, strict=True)
        pads = [((n - s) // 2, n - s - (n - s) // 2) for n, s in sizes]
        dims = list(range(2, kernel.ndim))
        return ConvOperator(
            kernel.roll([before for before, _ in pads], dims),
            self.sizes,
            bias=None,
            stride=self.strides,
            padding=pads,
            groups=self.groups,
            padding_mode="circular",
        )

    @property
    def _split(self) -> list[int]:
        """(groups, rows, channels, lags_1, phases_1, ...)."""
        pairs = zip(self.grid, self.strides, strict=True)
        rows = self.shape[0] // self.groups
        return [self.groups, rows, self.shape[1], *(n for pair in pairs for n in pair)]

    @property
    def _waves(self) -> list[int]:
        return [3 + 2 * j for j in range(len(self.grid))]

    @property
    def _order(self) -> list[int]:
        """From there to (waves, groups, rows, channels, phases)."""
        return [*self._waves, 0, 1, 2, *(dim + 1 for dim in self._waves)]


def whole_kernel(op: ConvOperator) -> tuple[Tensor, int]:
    """The kernel on the torus, with tap t at pixel t: ``2^-e K`` without overflow, and e.

    Args:
        op: A closed operator; of transposed ones the kernel that is transposed.

    Returns:
        (C_out, C_in / groups, *sizes) in double precision, without a gradient, and the
        exponent.
    """
    wide = torch.complex128 if op.dtype.is_complex else torch.float64
    weight = op.weight.detach().to(wide)
    exponent = math.frexp(float(real_parts(weight).abs().max()))[1]
    weight = ldexp(weight, -exponent)
    for j, axis in enumerate(op.geometry.axes):
        live = np.flatnonzero(axis.live)
        shape = list(weight.shape)
        shape[2 + j] = axis.size
        chosen = weight.index_select(2 + j, torch.as_tensor(live, device=weight.device))
        where = torch.as_tensor(axis.source[live, 0], device=weight.device)
        weight = weight.new_zeros(shape).index_add(2 + j, where, chosen)
    return weight, exponent


def require_closed(op: ConvOperator, caller: str, instead: str) -> None:
    """Refuse an operator that does not commute with the shifts of its outputs.

    Args:
        op: The operator.
        caller: What is called.
        instead: What to do, beside taking the operator on a torus.

    Raises:
        GeometryError: If it is not block circulant.
    """
    for j, axis in enumerate(op.geometry.axes):
        if not _is_closed(axis):
            raise GeometryError(
                f"{caller} takes operators that are block circulant, with circular "
                f"padding that keeps the size and a stride that divides it; axis {j} has "
                f"{axis.output} outputs of {axis.size} pixels at stride {axis.stride}, "
                f"with padding ({axis.before}, {axis.after}) {axis.mode}; "
                f"{instead}, or take op.circular()"
            )


def _is_closed(axis: Axis) -> bool:
    reads = axis.source[axis.live]
    shifts = axis.stride * np.arange(axis.output)
    whole = axis.output * axis.stride == axis.size
    shifted = (reads[:, :1] + shifts) % axis.size
    return bool(whole and (reads >= 0).all() and (reads == shifted).all())
