"""Dilated convolutions with zero padding as direct sums of undilated ones.

Output p reads the pixels ``p s - a + d t`` of an axis with stride s, a zeros in front and
dilation d. With g = gcd(s, d) the outputs ``p = p_0 + j d / g`` of one class read pixels
of one residue ``r = (p_0 s - a) mod d``: the i-th of those, ``r + d i``, where

    i = b + j s / g + t,    b = floor((p_0 s - a) / d).

That is a convolution with stride s / g, dilation 1 and -b zeros in front, or without its
first b pixels. :mod:`convspec.operators.residues` finds the same classes in tables of
reads, for any padding; here they are convolutions again.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np

from convspec.operators.axis import Axis
from convspec.operators.operator import ConvOperator
from convspec.operators.submatrix import is_part

__all__ = ["largest_classes", "undilated"]


def undilated(op: ConvOperator) -> list[ConvOperator]:
    """Undilated convolutions, the largest of whose norms is the norm of A.

    They are different summands of A, those left out that are submatrices of others; the
    operator itself where no axis splits.
    """
    choices = [largest_classes(axis) for axis in op.geometry.axes]
    if choices == [[axis] for axis in op.geometry.axes]:
        return [op]
    return [
        op.with_geometry(op.weight, replace(op.geometry, axes=axes))
        for axes in product(*choices)
    ]


def largest_classes(axis: Axis) -> list[Axis]:
    """Classes of an axis, none of which is a part of another; itself if it is one.

    >>> dilated = Axis(7, 7, 3, dilation=3, before=3, after=3)
    >>> largest_classes(dilated) == [Axis(3, 3, 3, before=1, after=1)]
    True
    """
    common = math.gcd(axis.stride, axis.dilation)
    if axis.mode != "zeros" or axis.dilation == common or axis.kernel == 1:
        return [axis]
    found: list[Axis] = []
    for one in sorted(_classes(axis), key=lambda one: (-one.size, -one.output)):
        if not any(is_part(one, other) for other in found):
            found.append(one)
    return found or [axis]  # where nothing is read


def _classes(axis: Axis) -> list[Axis]:
    """The different classes that read something, without pixels at the ends unread."""
    period = axis.dilation // math.gcd(axis.stride, axis.dilation)
    stride = axis.stride * period // axis.dilation
    p = np.arange(min(period, axis.output), dtype=np.int64)
    b, r = np.divmod(p * axis.stride - axis.before, axis.dilation)
    outputs = -((p - axis.output) // period)
    sizes = np.maximum(0, -((r - axis.size) // axis.dilation))
    # outputs that read zeros only, in front and behind
    idle = np.maximum(0, -((b + axis.kernel - 1) // stride))
    b = b + idle * stride
    outputs = np.minimum(outputs - idle, -((b - sizes) // stride))
    b, outputs, sizes = (
        part[(outputs > 0) & (sizes > 0)] for part in (b, outputs, sizes)
    )
    end = b + stride * (outputs - 1) + axis.kernel  # behind the last read
    sizes = np.minimum(sizes, end) - np.maximum(b, 0)
    before, after = np.maximum(-b, 0), end - np.maximum(b, 0) - sizes
    kinds = np.unique(np.stack([sizes, outputs, before, after], axis=1), axis=0)
    return [
        Axis(size, output, axis.kernel, stride, 1, front, behind)
        for size, output, front, behind in kinds.tolist()
        if size > 0
    ]
