"""When one convolution's matrix is part of another's: smaller images, zero padding.

Output j of the one is output ``j + v`` of the other along an axis, pixel i is ``i + u``,
with ``u = before - other.before + v s``: both read the same taps of the same pixels, or
zeros in their place. So the norm of the one is at most that of the other.
"""

from __future__ import annotations

import numpy as np

from convspec.operators.axis import Axis
from convspec.operators.operator import ConvOperator

__all__ = ["is_part", "is_submatrix"]


def is_submatrix(small: ConvOperator, large: ConvOperator) -> bool:
    """Whether an operator of the same weight is a submatrix of the other."""
    if small.transposed != large.transposed or small.groups != large.groups:
        return False
    pairs = zip(small.geometry.axes, large.geometry.axes, strict=True)
    return all(is_part(one, other) for one, other in pairs)


def is_part(one: Axis, other: Axis) -> bool:
    """Whether one axis reads what the other does, of fewer pixels for fewer outputs.

    >>> is_part(Axis(5, 5, 3, before=1, after=1), Axis(9, 9, 3, before=1, after=1))
    True
    """
    alike = (one.kernel, one.stride, one.dilation) == (
        other.kernel,
        other.stride,
        other.dilation,
    )
    if not alike or not all(_reads_zeros(axis) for axis in (one, other)):
        return False
    shift = np.arange(other.output - one.output + 1)
    pixels = one.before - other.before + one.stride * shift
    return bool(((pixels >= 0) & (pixels <= other.size - one.size)).any())


def _reads_zeros(axis: Axis) -> bool:
    """Whether an axis reads zeros, or nothing, beside the image."""
    return axis.mode == "zeros" or axis.before == axis.after == 0
