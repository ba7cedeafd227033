"""Channels as a direct sum: those that some kernel entry joins, and none without one.

Groups are such a sum by declaration. Weights may make it finer: pruned channels, kernels
that act on each channel alone, groups written as one dense layer with zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.operators.components import components
from convspec.operators.operator import ConvOperator

__all__ = ["ChannelBlocks", "channel_blocks"]


@dataclass(frozen=True)
class ChannelBlocks:
    """Different blocks of as many channels each, which occur equally often.

    Attributes:
        times: How often each occurs.
        weight: (blocks, out channels, in channels, *taps).
    """

    times: int
    weight: Tensor


def channel_blocks(op: ConvOperator) -> list[ChannelBlocks]:
    """The blocks of channels that differ, without channels that are all zero.

    Up to the order of channels A is the direct sum of their operators and of zeros.
    """
    weight = op.weight.detach()
    weight = weight.reshape(op.groups, -1, *weight.shape[1:])
    if bool((weight.flatten(3)[..., 0] != 0).all()):  # the usual, by one tap
        return _by_times(weight)
    joined = (weight != 0).flatten(3).any(dim=3).cpu().numpy()  # (groups, out, in)
    if joined.all():
        return _by_times(weight)
    found: dict[tuple[int, int], list[Tensor]] = {}
    for group, rows, columns in _blocks(joined):
        some = torch.as_tensor(rows, device=weight.device)
        others = torch.as_tensor(columns, device=weight.device)
        block = weight[group].index_select(0, some).index_select(1, others)
        found.setdefault((len(rows), len(columns)), []).append(block)
    return [part for blocks in found.values() for part in _by_times(torch.stack(blocks))]


def _blocks(joined: np.ndarray) -> list[tuple[int, IntArray, IntArray]]:
    """(group, out channels, in channels) of the blocks with an entry that is not 0."""
    groups, rows, columns = joined.shape
    group, row, column = np.nonzero(joined)
    shape = groups * rows, groups * columns
    left, right = components(group * rows + row, group * columns + column, shape)
    by_row, by_column = _members(left), _members(right)
    return [
        (int(mine[0] // rows), mine % rows, by_column[name] % columns)
        for name, mine in by_row.items()
        if name in by_column
    ]


def _members(labels: IntArray) -> dict[int, IntArray]:
    order = np.argsort(labels, kind="stable")
    names, first = np.unique(labels[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, first[1:]), strict=True))


def _by_times(weight: Tensor) -> list[ChannelBlocks]:
    """Blocks (b, ...) by how often they occur; one of each."""
    if len(weight) == 1:
        return [ChannelBlocks(1, weight)]
    parts = torch.view_as_real(weight) if weight.is_complex() else weight
    _, which, times = torch.unique(
        parts.flatten(1), dim=0, return_inverse=True, return_counts=True
    )
    if len(times) == len(weight):
        return [ChannelBlocks(1, weight)]
    kinds, first = np.unique(which.cpu().numpy(), return_index=True)
    often = times.cpu().numpy()[kinds]
    return [
        ChannelBlocks(int(count), weight[np.sort(first[often == count]).tolist()])
        for count in np.unique(often)
    ]
