"""Determinants block by block: axes along which a map is triangular, and channels.

Zero padding makes A block Toeplitz along an axis. Where no tap looks ahead (or none
looks back) it is block triangular, with one block on the diagonal, that of the taps that
look at their own place: ``det A = det(A_0)^n``. Masked kernels are such axis after axis.
Channels are ordered likewise: those that see one another, directly or in turn, are
together, and the others are a triangle (Tarjan, SIAM J. Comput. 1, 1972, finds them).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import scipy
import torch
from scipy import sparse

from convspec.arrays import IntArray
from convspec.operators.axis import Axis
from convspec.operators.operator import ConvOperator

__all__ = ["Power", "diagonal_blocks"]


@dataclass(frozen=True)
class Power:
    """A block on the diagonal, and how often it is there; None for a zero block.

    Attributes:
        op: A convolution of as many outputs as pixels, or None.
        times: How often.
    """

    op: ConvOperator | None
    times: int = 1


def diagonal_blocks(op: ConvOperator) -> Iterator[Power]:
    """The blocks whose determinants' product is that of A, but for the sign.

    Args:
        op: A convolution, square on every axis and in its channels.
    """
    peeled = _along_an_axis(op)
    if peeled is not None:
        if peeled.op is None:
            yield peeled
            return
        for block in diagonal_blocks(peeled.op):
            yield Power(block.op, block.times * peeled.times)
        return
    parts = _by_channels(op)
    if parts is None:
        yield Power(None)
    elif len(parts) == 1 and parts[0] is op:
        yield Power(op)
    else:
        for part in parts:
            yield from diagonal_blocks(part)


def _along_an_axis(op: ConvOperator) -> Power | None:
    """What is on the diagonal along the first axis that is triangular, or None."""
    seen = (op.weight.detach() != 0).flatten(2).any(dim=0).any(dim=0)
    seen = seen.reshape(op.weight.shape[2:]).cpu()
    for j, axis in enumerate(op.geometry.axes):
        if axis.size == 1 or not _is_toeplitz(axis):
            continue
        others = [dim for dim in range(seen.ndim) if dim != j]
        live = (seen.any(dim=others) if others else seen).numpy() & axis.live
        lags = axis.lags[live]
        if (lags > 0).any() and (lags < 0).any():
            continue
        own = np.flatnonzero(live & (axis.lags == 0))
        if not len(own):
            return Power(None)
        weight = op.weight.narrow(2 + j, int(own[0]), 1)
        axes = list(op.geometry.axes)
        axes[j] = Axis(1, 1, 1)
        geometry = replace(op.geometry, axes=tuple(axes))
        return Power(op.with_geometry(weight, geometry), axis.size)
    return None


def _is_toeplitz(axis: Axis) -> bool:
    """Whether output o reads pixel ``o + lag``, or zero where there is none."""
    square = axis.stride == 1 and axis.output == axis.size
    return square and (axis.mode == "zeros" or not axis.reads_padding)


def _by_channels(op: ConvOperator) -> list[ConvOperator] | None:
    """The blocks of channels on the diagonal, by their sizes; None if A is singular."""
    weight = op.weight.detach()
    side = weight.shape[1]
    joined = (weight != 0).flatten(2).any(dim=2).reshape(op.groups, -1, side)
    found: dict[int, list[tuple[int, IntArray, IntArray]]] = {}
    for group, table in enumerate(joined.cpu().numpy()):
        blocks = _strong_blocks(table)
        if blocks is None:
            return None
        for rows, columns in blocks:
            found.setdefault(len(rows), []).append((group, rows, columns))
    if [*found] == [side]:
        return [op]
    return [_of_channels(op, blocks) for blocks in found.values()]


def _strong_blocks(joined: np.ndarray) -> list[tuple[IntArray, IntArray]] | None:
    """(rows, columns) of the diagonal blocks; None if no order fills the diagonal."""
    graph = sparse.csr_array(joined.astype(np.int8))
    match = scipy.sparse.csgraph.maximum_bipartite_matching(graph, perm_type="column")
    if (match < 0).any():
        return None
    _, labels = scipy.sparse.csgraph.connected_components(
        graph[:, match], directed=True, connection="strong"
    )
    order = np.argsort(labels, kind="stable")
    _, first = np.unique(labels[order], return_index=True)
    return [(rows, match[rows]) for rows in np.split(order, first[1:])]


def _of_channels(
    op: ConvOperator, blocks: list[tuple[int, IntArray, IntArray]]
) -> ConvOperator:
    """The direct sum of blocks of channels of one size."""
    weight = op.weight.reshape(op.groups, -1, *op.weight.shape[1:])
    some = []
    for group, rows, columns in blocks:
        row, column = (
            torch.as_tensor(np.asarray(index, dtype=np.int64), device=weight.device)
            for index in (rows, columns)
        )
        some.append(weight[group].index_select(0, row).index_select(1, column))
    channels = len(blocks) * len(blocks[0][1])
    geometry = replace(op.geometry, c_in=channels, c_out=channels, groups=len(blocks))
    return op.with_geometry(torch.cat(some), geometry)
