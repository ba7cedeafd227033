"""An operator as a direct sum of smaller ones, of which equal ones are counted.

Up to the order of rows and columns, and rows and columns of zeros, ``A = (+) A_i`` over
the blocks of its channels (:mod:`convspec.operators.channels`) and the classes of its
axes (:mod:`convspec.operators.residues`). The singular values of A are those of all A_i.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from torch import Tensor

from convspec.operators.channels import channel_blocks
from convspec.operators.operator import ConvOperator
from convspec.operators.reads import Reads
from convspec.operators.reduce import Reduction
from convspec.operators.residues import residue_classes

__all__ = ["Summand", "direct_sum", "summands"]


@dataclass(frozen=True)
class Summand:
    """Some of the blocks: ``times`` copies of an operator.

    Attributes:
        times: How many copies.
        reduced: What each of them is.
    """

    times: int
    reduced: Reduction


def direct_sum(op: ConvOperator) -> list[Summand]:
    """The operators that A consists of, each with a weight; none where A is 0."""
    axes = tuple(Reads.of(axis) for axis in op.geometry.axes)
    return [
        Summand(blocks.times * part.times, part.reduced)
        for blocks in channel_blocks(op)
        for part in summands(blocks.weight, axes)
    ]


def summands(weight: Tensor, axes: Sequence[Reads]) -> list[Summand]:
    """The different products of the axes' classes, of blocks of channels.

    Args:
        weight: (blocks, out channels, in channels, *kernel), not all zero.
        axes: What each axis reads.
    """
    groups = len(weight)
    choices = [
        residue_classes(_without_zero_taps(read, weight, 3 + j))
        for j, read in enumerate(axes)
    ]
    return [
        Summand(
            math.prod(times for times, _ in classes),
            Reduction.of_reads(
                weight.flatten(0, 1), groups, tuple(read for _, read in classes)
            ),
        )
        for classes in product(*choices)
    ]


def _without_zero_taps(read: Reads, weight: Tensor, dim: int) -> Reads:
    """The axis without the taps at which all weights are 0."""
    if bool((weight[0, 0, 0] != 0).all()):  # the usual, by one kernel
        return read
    lines = (weight != 0).transpose(0, dim).flatten(1).any(dim=1)
    return read.at_taps(lines.cpu().numpy()[read.taps])
