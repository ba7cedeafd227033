"""The explicit matrix of a convolution, dense or CSR, from one spatial pattern.

Between one input and one output channel the operator has the same nonzero positions
for every pair of channels: the pattern ``sum_t S_1[t_1] (x) ... (x) S_d[t_d]``. It is
built once; dense and sparse matrices are that pattern filled with the weight.
Kernels: arguments are trusted. Weights come as (c_out, c_in / groups, taps).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from convspec.arrays import IntArray

__all__ = [
    "Pattern",
    "dense_blocks",
    "dense_matrix",
    "frobenius_norm",
    "pattern_bytes",
    "sparse_matrix",
]


# what finding one read of a pattern takes
READ_BYTES = 72


def pattern_bytes(sources: Sequence[IntArray]) -> int:
    """What finding the positions between two channels takes, at most."""
    return READ_BYTES * math.prod(source.size for source in sources)


@dataclass(frozen=True)
class Pattern:
    """Nonzero positions of one channel pair, sorted by row and then column.

    Attributes:
        shape: (output positions, input pixels), flattened over the axes.
        row: Output position of each entry; (e,).
        column: Input pixel of each entry; (e,).
        tap: Flat tap of each read; (r,).
        entry: The entry that each read adds to; (r,). With r = e it is a permutation,
            otherwise several taps read one pixel (reflect, replicate, wrapped kernels).
    """

    shape: tuple[int, int]
    row: IntArray
    column: IntArray
    tap: IntArray
    entry: IntArray

    @classmethod
    def of(cls, sources: Sequence[IntArray], sizes: Sequence[int]) -> Pattern:
        """The pattern of ``source[t, o]`` tables over axes of the given sizes."""
        one = np.zeros(1, dtype=np.int64)
        row, tap, column, live = one, one, one, one == 0
        for source, size in zip(sources, sizes, strict=True):
            kernel, output = source.shape
            grid = len(row), 1, len(tap), 1
            column = column.reshape(grid) * size + source.T[:, None, :]
            live = live.reshape(grid) & (source >= 0).T[:, None, :]
            row = np.add.outer(row * output, np.arange(output)).reshape(-1)
            tap = np.add.outer(tap * kernel, np.arange(kernel)).reshape(-1)
        keep = live.reshape(len(row), len(tap))
        row, tap = (
            np.broadcast_to(index, keep.shape)[keep] for index in (row[:, None], tap)
        )
        column = column.reshape(keep.shape)[keep]
        shape = math.prod(s.shape[1] for s in sources), math.prod(sizes)
        return cls._sorted(shape, row, column, tap)

    @classmethod
    def _sorted(
        cls, shape: tuple[int, int], row: IntArray, column: IntArray, tap: IntArray
    ) -> Pattern:
        """The pattern of reads in any order: one entry per position that is read."""
        position = row * shape[1] + column
        step = np.diff(position)
        if (step <= 0).any():
            order = np.argsort(position, kind="stable")
            row, column, tap = row[order], column[order], tap[order]
            step = np.diff(position[order])
        first = np.concatenate([np.ones(min(1, len(row)), dtype=bool), step > 0])
        return cls(shape, row[first], column[first], tap, np.cumsum(first) - 1)

    @property
    def injective(self) -> bool:
        """Whether no two taps of an output read one pixel."""
        return len(self.row) == len(self.tap)

    def transposed(self) -> Pattern:
        """The pattern of the transpose."""
        order = np.argsort(self.column, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        return Pattern(
            self.shape[::-1],
            self.column[order],
            self.row[order],
            self.tap,
            rank[self.entry],
        )

    def values(self, weight: Tensor) -> tuple[Tensor, IntArray]:
        """A table (c_out, c, w) and for each entry the place in it; differentiable.

        The table is the weight itself, or its sums where taps coincide.
        """
        if self.injective:
            place = np.empty_like(self.tap)
            place[self.entry] = self.tap
            return weight, place
        tap = torch.as_tensor(self.tap, device=weight.device)
        entry = torch.as_tensor(self.entry, device=weight.device)
        sums = weight.new_zeros((*weight.shape[:2], len(self.row)))
        sums = sums.index_add(2, entry, weight.index_select(2, tap))
        return sums, np.arange(len(self.row))


def dense_matrix(weight: Tensor, pattern: Pattern, groups: int) -> Tensor:
    """The (m, n) matrix, block diagonal over groups; differentiable in the weight."""
    c_out, c = weight.shape[:2]
    rows, columns = pattern.shape
    matrix = weight.new_zeros((c_out * rows, groups * c * columns))
    blocks = matrix.view(groups, c_out // groups, rows, groups, c, columns)
    _fill(blocks.diagonal(dim1=0, dim2=3), weight, pattern, groups)
    return matrix


def dense_blocks(weight: Tensor, pattern: Pattern, groups: int) -> Tensor:
    """The diagonal blocks alone, (groups, m / groups, n / groups)."""
    c_out, c = weight.shape[:2]
    rows, columns = pattern.shape
    blocks = weight.new_zeros((groups, c_out // groups, rows, c, columns))
    _fill(blocks.permute(1, 2, 3, 4, 0), weight, pattern, groups)
    return blocks.reshape(groups, c_out // groups * rows, c * columns)


def _fill(blocks: Tensor, weight: Tensor, pattern: Pattern, groups: int) -> None:
    """Write the entries into a zero view (c_out / g, rows, c, columns, g)."""
    c_out, c = weight.shape[:2]
    table, place = pattern.values(weight)
    row, column, take = (
        torch.as_tensor(index, device=weight.device)
        for index in (pattern.row, pattern.column, place)
    )
    grouped = table.reshape(groups, c_out // groups, c, table.shape[2])
    entries = grouped.index_select(3, take)  # (g, c_out/g, c, e)
    blocks[:, row, :, column] = entries.permute(3, 1, 2, 0)


def sparse_matrix(
    weight: Tensor, pattern: Pattern, groups: int, transposed: bool = False
) -> sparse.csr_array:
    """The CSR matrix, or its transpose, in canonical format without explicit zeros."""
    if transposed:
        pattern = pattern.transposed()
        weight = _swap_channels(weight, groups)
    table, place = pattern.values(weight)
    rows, c = table.shape[:2]  # channels of the rows, channels read by each
    block_column, block_take = _channel_block(pattern, place, c, table.shape[2])
    entries = len(block_column)

    shape = (rows * pattern.shape[0], groups * c * pattern.shape[1])
    wide = max(*shape, rows * entries) > np.iinfo(np.int32).max
    index_dtype = np.int64 if wide else np.int32
    indices = np.empty((groups, rows // groups, entries), dtype=index_dtype)
    for group in range(groups):
        indices[group] = (block_column + group * c * pattern.shape[1]).astype(index_dtype)
    per_row = np.bincount(pattern.row, minlength=pattern.shape[0]) * c
    indptr = np.zeros(shape[0] + 1, dtype=index_dtype)
    np.cumsum(np.tile(per_row, rows), out=indptr[1:])

    flat = table.reshape(rows, c * table.shape[2])
    data = flat.index_select(1, torch.as_tensor(block_take, device=flat.device)).numpy()
    matrix = sparse.csr_array(
        (data.reshape(-1), indices.reshape(-1), indptr), shape=shape
    )
    matrix.has_canonical_format = True
    if (flat == 0).any():
        matrix.eliminate_zeros()
    return matrix


def frobenius_norm(weight: Tensor, overlaps: Sequence[IntArray]) -> float:
    """``sqrt(<K, K x_1 M_1 ... x_d M_d>)`` for a weight (c_out, c, *kernel)."""
    weight = weight.to(torch.complex128 if weight.is_complex() else torch.float64)
    top = float(weight.abs().max())
    if top == 0:
        return 0.0
    weight = weight / top  # squares neither overflow nor vanish
    product = weight
    for overlap in overlaps:
        counts = torch.as_tensor(overlap, device=weight.device).to(weight.dtype)
        # contracts the first spatial axis and appends it behind: d turns restore them
        product = torch.tensordot(product, counts, dims=([2], [0]))
    return top * math.sqrt(max(0.0, float((weight.conj() * product).sum().real)))


def _swap_channels(weight: Tensor, groups: int) -> Tensor:
    """(c_out, c_in / g, taps) -> (c_in, c_out / g, taps), group by group."""
    c_out, c, taps = weight.shape
    grouped = weight.reshape(groups, c_out // groups, c, taps).transpose(1, 2)
    return grouped.reshape(groups * c, c_out // groups, taps)


def _channel_block(
    pattern: Pattern, place: IntArray, channels: int, table_width: int
) -> tuple[IntArray, IntArray]:
    """Columns and table places of one output channel, by row, channel and column."""
    count = np.bincount(pattern.row, minlength=pattern.shape[0])
    start = np.cumsum(count) - count
    channel = np.arange(channels)[:, None]
    in_row = np.arange(len(pattern.row)) - start[pattern.row]
    target = (
        channels * start[pattern.row] + channel * count[pattern.row] + in_row
    )  # (c, e)
    column = np.empty(target.size, dtype=np.int64)
    column[target] = pattern.column + channel * pattern.shape[1]
    take = np.empty(target.size, dtype=np.int64)
    take[target] = place + channel * table_width
    return column, take
