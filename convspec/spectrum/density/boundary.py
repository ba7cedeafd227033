"""How much of an operator its boundary is: the distance from the torus of its size."""

from __future__ import annotations

import math

import numpy as np

from convspec.operators.geometry import Axis, ConvGeometry

__all__ = ["boundary_fraction"]


def boundary_fraction(geometry: ConvGeometry) -> float:
    """Bound on ``|N_A(t) - N_C(t)| / min(m, n)`` for t > 0, with C the torus of A's size.

    N counts the singular values from t up. A and the circulant C with ``ceil(n / s)``
    outputs per axis share the rows whose taps all read pixels. By interlacing each has
    at most as many values from t up beyond those of the shared rows as it has other rows,
    so ``max(rows of A, rows of C) - shared rows`` bounds the difference. For zero padding
    at stride 1 the same holds for the columns, with the torus of m outputs, and the
    smaller number counts. At most 1.
    """
    axes = geometry.axes
    torus = [-(-axis.size // axis.stride) for axis in axes]
    other = max(math.prod(geometry.outputs), math.prod(torus))
    other -= math.prod(map(_whole_outputs, axes))
    apart = geometry.c_out * other
    if all(axis.mode == "zeros" and axis.stride == 1 for axis in axes):
        other = max(math.prod(geometry.outputs), math.prod(geometry.sizes))
        other -= math.prod(map(_whole_pixels, axes))
        apart = min(apart, geometry.c_in * other)
    return min(1.0, apart / min(geometry.shape))


def _whole_outputs(axis: Axis) -> int:
    """Outputs whose taps all read pixels, none of them padding."""
    first = axis.stride * np.arange(axis.output) - axis.before
    return int(((first >= 0) & (first + axis.extent <= axis.size)).sum())


def _whole_pixels(axis: Axis) -> int:
    """Pixels that every tap reads for some output, at stride 1."""
    last = np.arange(axis.size) + axis.before
    return int(((last >= axis.extent - 1) & (last < axis.output)).sum())
