"""Live tensors and the ellipsoid of their differences.

For every pair of inputs x, x' the stack q of a group's tensors satisfies
``dq^H S^+ dq <= |x - x'|^2``, frequency by frequency in one block S(w) each. Replacing S
by more than S keeps that; so what rounding may have taken is added to the diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.network.ellipsoid.lattice import VECTOR, Lattice
from convspec.network.ellipsoid.maps import Map

__all__ = ["Group"]

# unit roundoff, and how many of them a product of k terms may err by for each
UNIT = 2.0**-53


@dataclass
class Group:
    """Tensors on one lattice.

    Attributes:
        lattice: Where they live.
        blocks: S without its scale, (F, C, C), Hermitian.
        exponent: S is ``2^exponent`` times the blocks.
        slices: Where each node's channels are.
        proven: Whether rounding is accounted for.
    """

    lattice: Lattice
    blocks: Tensor
    exponent: int
    slices: dict[int, slice]
    proven: bool = False

    @property
    def width(self) -> int:
        """C."""
        return self.blocks.shape[-1]

    def block(self, place: int) -> Tensor:
        """S of one tensor; (F, c, c)."""
        where = self.slices[place]
        return self.blocks[:, where, where]

    def kept(self, places: Sequence[int]) -> Group:
        """The group of some of its tensors."""
        index = [i for place in places for i in _range(self.slices[place])]
        slices, first = dict[int, slice](), 0
        for place in places:
            width = self.slices[place].stop - self.slices[place].start
            slices[place] = slice(first, first + width)
            first += width
        if index == list(range(self.width)):
            return Group(self.lattice, self.blocks, self.exponent, slices, self.proven)
        some = torch.tensor(index, dtype=torch.int64, device="cpu")
        blocks = self.blocks[:, some][:, :, some]
        return Group(self.lattice, blocks, self.exponent, slices, self.proven)

    def scaled(self) -> Group:
        """The same with a trace of about 1, by a power of 2."""
        trace = self.blocks.detach().diagonal(dim1=1, dim2=2).real.sum(1).max()
        exponent = math.frexp(float(trace))[1] if float(trace) > 0 else 0
        factor = 2.0**-exponent
        return Group(
            self.lattice,
            self.blocks * factor,
            self.exponent + exponent,
            self.slices,
            self.proven,
        )

    def enlarged(self, error: Tensor) -> Group:
        """With so much more on the diagonal, frequency by frequency, made Hermitian."""
        blocks = (self.blocks + self.blocks.mH) / 2
        if self.proven:
            wide = error * (1 + 1e-6) + 8 * UNIT * blocks.diagonal(
                dim1=1, dim2=2
            ).real.abs().amax(1)
            blocks = blocks + torch.diag_embed(
                wide[:, None].expand(-1, self.width).to(blocks.dtype)
            )
        return Group(self.lattice, blocks, self.exponent, self.slices, self.proven)

    def appended(self, place: int, parts: Sequence[tuple[int, Map]]) -> Group:
        """With a tensor ``sum_j A_j u_j`` of its own tensors u."""
        cross: Tensor | None = None
        for source, map_ in parts:
            part = map_.times(self.blocks[:, self.slices[source]])  # A S_u:, (F, c, C)
            cross = part if cross is None else cross + part
        assert cross is not None
        own: Tensor | None = None
        for source, map_ in parts:
            part = map_.times(cross.mH[:, self.slices[source]])  # (F, c, c)
            own = part if own is None else own + part
        assert own is not None
        blocks = torch.cat(
            [torch.cat([self.blocks, cross.mH], 2), torch.cat([cross, own.mH], 2)], 1
        )
        slices = {**self.slices, place: slice(self.width, blocks.shape[-1])}
        found = Group(self.lattice, blocks, self.exponent, slices, self.proven)
        return found.enlarged(self._linear_error(parts, cross))

    def _linear_error(self, parts: Sequence[tuple[int, Map]], cross: Tensor) -> Tensor:
        """How far a product ``A S A^H`` and its sides may be off; (F,)."""
        none = torch.zeros(len(self.blocks), dtype=torch.float64, device="cpu")
        if not self.proven:
            return none
        held = torch.linalg.matrix_norm(self.blocks)
        side = torch.linalg.matrix_norm(cross)
        total, moved = none, none
        for _, map_ in parts:
            terms = 4 * (map_.matrix.shape[-1] + 8) * UNIT
            total = total + (terms * map_.size + map_.error) * held
            moved = moved + (terms * map_.size + map_.error) * side
            moved = (
                moved + (map_.size + map_.error) * (terms * map_.size + map_.error) * held
            )
        return 2 * total + 2 * moved

    def aliased(
        self, parts: dict[int, list[tuple[int, Map]]], stride: tuple[int, ...]
    ) -> Group:
        """Some tensors of linear maps, every s-th pixel of them.

        Args:
            parts: For each new place what it is the sum of.
            stride: s, per axis.
        """
        grown = self
        for place, some in parts.items():
            grown = grown.appended(place, some)
        grown = grown.kept(list(parts))
        where, turned = self.lattice.aliases(stride)
        mean = torch.zeros((), dtype=grown.blocks.dtype, device="cpu")
        for j in range(where.shape[1]):
            some_ = grown.blocks[where[:, j]]
            some_ = torch.where(turned[:, j, None, None], some_.conj(), some_)
            mean = mean + some_
        mean = mean / where.shape[1]
        found = Group(
            self.lattice.coarse(stride),
            mean,
            self.exponent,
            grown.slices,
            self.proven,
        )
        size = torch.linalg.matrix_norm(mean)
        return found.enlarged(4 * where.shape[1] * UNIT * size)

    def joined(self, other: Group, share: Tensor) -> Group:
        """Both groups as one: ``blkdiag((1 + t) S_1, (1 + 1/t) S_2)``.

        Args:
            other: On the same lattice.
            share: t, positive.
        """
        lift = 2.0 ** (other.exponent - self.exponent)
        first = (1 + share) * self.blocks
        second = (1 + 1 / share) * lift * other.blocks
        blocks = first.new_zeros(len(first), *[self.width + other.width] * 2)
        blocks[:, : self.width, : self.width] = first
        blocks[:, self.width :, self.width :] = second
        slices = dict(self.slices)
        for place, where in other.slices.items():
            slices[place] = slice(where.start + self.width, where.stop + self.width)
        found = Group(self.lattice, blocks, self.exponent, slices, self.proven)
        return found.enlarged(16 * UNIT * torch.linalg.matrix_norm(blocks.detach()))

    @classmethod
    def white(cls, lattice: Lattice, diagonal: Tensor, place: int, like: Group) -> Group:
        """One tensor with the same diagonal S at all frequencies, at a group's scale."""
        wide = diagonal.to(lattice.dtype)
        blocks = torch.diag_embed(wide).expand(len(lattice.index), -1, -1)
        return cls(
            lattice,
            blocks,
            like.exponent,
            {place: slice(0, len(diagonal))},
            like.proven,
        )

    @classmethod
    def source(cls, lattice: Lattice, diagonal: Tensor, proven: bool) -> Group:
        """The input itself: S is a diagonal, the identity in its own units."""
        nothing = torch.zeros(1, 0, 0, dtype=torch.float64, device="cpu")
        like = cls(VECTOR, nothing, 0, {}, proven)
        return cls.white(lattice, diagonal, 0, like)


def _range(where: slice) -> range:
    return range(where.start, where.stop)
