"""Operators with some closed axes: at each of their frequencies one on the other axes.

A panorama is closed along one axis and ends along the other. The Fourier transform along
the cyclic axes is unitary and makes A a direct sum over their frequencies w of the
convolutions along the others whose kernels are ``sum_t K_{t, u} exp(i <t, w>)``, t the
taps of the cyclic axes and u those of the others. So do the cosines and sines of halves
of rings, up to a factor of size 1 for each output channel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convspec.frequency.torus import TorusBlocks
from convspec.operators.direct_sum import summands
from convspec.operators.kronecker import Kronecker
from convspec.operators.operator import ConvOperator
from convspec.operators.reads import Reads
from convspec.operators.reduce import Reduction
from convspec.rounding.directed import square_root, up
from convspec.rounding.waves import symbol_error
from convspec.spectrum.fourier.closed import Closed

__all__ = ["at_frequencies"]

NUMBER = 16  # bytes
HELD = 4  # copies of the kernels, about


def at_frequencies(op: ConvOperator, max_bytes: int) -> list[Kronecker] | None:
    """What A is a direct sum of, by the frequencies of its cyclic axes.

    Args:
        op: The operator, with weights near 1.
        max_bytes: Of all kernels at all frequencies, and of a block.

    Returns:
        The frequencies that stand for themselves, and those that stand for a pair; None
        where no axis is closed, or all are, or they take too much.
    """
    axes = tuple(Reads.of(axis) for axis in op.geometry.axes)
    halves = Reduction.of(op).half_rings
    where = [
        j
        for j, axis in enumerate(axes)
        if j in halves or (axis.cyclic and not axis.single)
    ]
    others = [j for j in range(len(axes)) if j not in where]
    if not where or all(axes[j].single for j in others):
        return None
    closed = Closed.among(axes, halves, where)
    weight = op.weight.detach()
    for j in where:
        taps = torch.as_tensor(axes[j].taps, device=weight.device)
        weight = weight.index_select(2 + j, taps)
    index, multiplicity = closed.frequencies(not weight.is_complex())
    phases = closed.phases
    kernel = [weight.shape[2 + j] for j in others]
    channels = weight.shape[0] // op.groups, weight.shape[1] * phases
    entries = len(index) * op.groups * math.prod(channels) * math.prod(kernel)
    # at least what the largest has, as dilation may split each into as many classes
    block = math.prod(channels) * math.prod(
        axes[j].outputs * len(axes[j].pixels) / axes[j].axis.dilation ** 2 for j in others
    )
    if max(HELD * entries, block) * NUMBER > max_bytes:
        return None
    rows = _taps_as_rows(weight, op.groups, others, where)
    blocks = TorusBlocks(closed.symbol(rows, op.groups), closed.sizes, op.dtype)
    kernels = _rows_as_taps(blocks.at(index), kernel)  # (frequencies, groups, ...)
    along = [axes[j] for j in others]
    shows = square_root(math.prod(read.axis.most_reads for read in along))
    error = up(math.prod(kernel) * symbol_error(rows, blocks.eps))
    distance = up(up(error + closed.distance) * shows, 2)
    return [
        Kronecker(times, (summands(some.flatten(0, 1), along),), distance)
        for times in (1, 2)
        if len(some := kernels[torch.from_numpy(multiplicity == times)])
    ]


def _taps_as_rows(
    weight: Tensor, groups: int, others: list[int], closed: list[int]
) -> Tensor:
    """Output channels for each tap of the other axes; (groups c_out taps, c, *closed)."""
    order = [0, *(2 + j for j in others), 1, *(2 + j for j in closed)]
    moved = weight.permute(*order)  # (c_out, *others, c, *closed)
    return moved.flatten(0, len(others))


def _rows_as_taps(blocks: Tensor, taps: list[int]) -> Tensor:
    """(f, groups, c_out taps, c) -> (f, groups, c_out, c, *taps)."""
    count, groups, rows, columns = blocks.shape
    split = blocks.reshape(count, groups, rows // math.prod(taps), -1, columns)
    return split.transpose(3, 4).reshape(count, groups, -1, columns, *taps).contiguous()
