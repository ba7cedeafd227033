"""The rank that a convolution has at most, by its shape, whatever its weight.

Rows of outputs that read nothing but zeros are 0, and columns of pixels that nothing
reads, as of a 1 x 1 kernel with a stride. The rank is at most the number of the others,
with groups as without, since each has its share of both.
"""

from __future__ import annotations

import math

from convspec.operators.operator import ConvOperator
from convspec.operators.reads import Reads

__all__ = ["shape_rank"]


def shape_rank(op: ConvOperator) -> int:
    """``min(C_out r, C_in p)`` for r outputs that read pixels and p that are read.

    >>> import torch, convspec as cs
    >>> strided = cs.ConvOperator(torch.ones(4, 1, 1, 1), (8, 8), stride=2)
    >>> min(strided.shape), shape_rank(strided)
    (64, 16)
    """
    every = [Reads.of(axis) for axis in op.geometry.axes]
    pixels = math.prod(reads.read for reads in every)
    outputs = math.prod(reads.reading for reads in every)
    given = op.geometry
    return min(given.c_out * outputs, given.c_in * pixels)
