"""Linear forms in a core, one above the other, most of whose rows read one entry.

What stays of a tensor in a core is a selection of its entries, times a slope; what a
convolution adds is dense. Products of selections are copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from convspec.network.ellipsoid.lengths import lengths

__all__ = ["Stack", "whole"]


@dataclass(frozen=True)
class Stack:
    """T, at each frequency.

    Attributes:
        rows: Those with one entry, or none; (p,)
        entries: Which; (p,)
        factors: It; (F or 1, p)
        others: The other rows; (r,)
        dense: Them; (F or 1, r, c)
    """

    rows: Tensor
    entries: Tensor
    factors: Tensor
    others: Tensor
    dense: Tensor

    @classmethod
    def of(cls, matrices: Sequence[Tensor]) -> Stack:
        """The stack of some matrices; (F or 1, w, c) each."""
        parts = [_split(each) for each in matrices]
        if len(parts) == 1:
            return parts[0]
        count = max(len(each) for each in matrices)
        firsts = [0]
        for each in matrices:
            firsts.append(firsts[-1] + each.shape[1])
        shifted = list(zip(parts, firsts[:-1], strict=True))
        dense = [whole(part.dense, count) for part in parts if len(part.others)]
        return cls(
            torch.cat([part.rows + first for part, first in shifted]),
            torch.cat([part.entries for part in parts]),
            torch.cat([part.factors.expand(count, -1) for part in parts], 1),
            torch.cat([part.others + first for part, first in shifted]),
            torch.cat(dense, 1) if dense else parts[0].dense[:, :0],
        )

    @property
    def terms(self) -> int:
        """Summands of an entry of ``T S``."""
        return self.dense.shape[2] if len(self.others) else 1

    @property
    def size(self) -> Tensor:
        """At least the norm of T, to rounding; (F or 1,)."""
        found: Tensor = (lengths(self.factors) ** 2 + lengths(self.dense) ** 2).sqrt()
        return found

    def left(self, core: Tensor) -> Tensor:
        """``T S``; (F, w, c)."""
        if not len(self.rows):
            return self.dense @ core
        read = self.factors[:, :, None] * _read(core, self.entries, 1)
        if not len(self.others):
            return read
        return self._ordered(torch.cat([read, self.dense @ core], 1), 1)

    def right(self, image: Tensor) -> Tensor:
        """``Y T^H``; (F, m, w) for Y of (F, m, c)."""
        if not len(self.rows):
            return image @ self.dense.mH
        read = self._columns(image)
        if not len(self.others):
            return read
        return self._ordered(torch.cat([read, image @ self.dense.mH], 2), 2)

    def around(self, core: Tensor) -> Tensor:
        """``T S T^H`` for Hermitian S, not in its memory; (F, w, w)."""
        if not len(self.rows):
            return self.dense @ core @ self.dense.mH
        read = _read(_read(core, self.entries, 1), self.entries, 2)
        factors = self.factors[:, :, None] * self.factors.conj()[:, None, :]
        read = factors * read
        if not len(self.others):
            return read
        image = self.dense @ core
        mixed = self._columns(image)
        upper = torch.cat([read, mixed.mH], 2)
        lower = torch.cat([mixed, image @ self.dense.mH], 2)
        return self._ordered(self._ordered(torch.cat([upper, lower], 1), 1), 2)

    def under(self, map_: Tensor) -> Tensor:
        """``A T``; (F or 1, m, c) for A of (F or 1, m, w)."""
        if not len(self.rows):
            return map_ @ self.dense
        turned = _read(map_, self.rows, 2) * self.factors[:, None, :]
        found = _placed(turned, self.entries, self.dense.shape[2])
        if not len(self.others):
            return found
        return found + map_[:, :, self.others] @ self.dense

    def _columns(self, image: Tensor) -> Tensor:
        """``Y t^H`` of the rows with one entry."""
        return _read(image, self.entries, 2) * self.factors.conj()[:, None, :]

    def _ordered(self, blocks: Tensor, axis: int) -> Tensor:
        """What is in the order of both kinds of rows, in that of T."""
        order = torch.cat([self.rows, self.others]).argsort()
        return _read(blocks, order, axis)


def _split(matrix: Tensor) -> Stack:
    """The rows of a matrix by what they read at any frequency."""
    plain = _plain(matrix.detach())
    rows, others = plain.nonzero()[:, 0], (~plain).nonzero()[:, 0]
    if not len(rows):
        return Stack(rows, rows, matrix[:, :0, 0:1].flatten(1), others, matrix)
    some = matrix if len(rows) == len(plain) else matrix[:, rows]
    entries = (some.detach() != 0).any(0).to(torch.uint8).argmax(1)
    places = entries[None, :, None].expand(len(some), -1, 1)
    factors = some.gather(2, places)[..., 0]
    return Stack(rows, entries, factors, others, matrix[:, others])


def _plain(matrix: Tensor) -> Tensor:
    """Which rows have one entry at most; none of an empty core; (w,)."""
    if not matrix.shape[2]:
        return torch.zeros(matrix.shape[1], dtype=torch.bool, device="cpu")
    plain = (matrix[0] != 0).sum(1) <= 1
    rows = plain.nonzero()[:, 0]
    if len(rows) and len(matrix) > 1:
        live = (matrix[:, rows] != 0).any(0)
        plain[rows] = live.sum(1) <= 1
    return plain


def _read(blocks: Tensor, entries: Tensor, axis: int) -> Tensor:
    """Rows or columns: a view of those that follow each other."""
    numbers = entries.tolist()
    if all(after == before + 1 for before, after in pairwise(numbers)):
        return blocks.narrow(axis, numbers[0], len(numbers))
    return blocks.index_select(axis, entries)


def _placed(columns: Tensor, entries: Tensor, width: int) -> Tensor:
    """Columns at their places among so many, added where several share one."""
    count = len(entries)
    if len(set(entries.tolist())) < count:
        found = columns.new_zeros(*columns.shape[:2], width)
        return found.index_add(2, entries, columns)
    source = torch.full((width,), count, dtype=torch.int64, device="cpu")
    source[entries] = torch.arange(count, dtype=torch.int64, device="cpu")
    none = columns.new_zeros(*columns.shape[:2], 1)
    return torch.cat([columns, none], 2).index_select(2, source)


def whole(matrix: Tensor, count: int) -> Tensor:
    """A matrix at each of so many frequencies."""
    return matrix.expand(count, -1, -1)
