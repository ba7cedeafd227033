"""Whether an operator has frequencies of its own, and which of them are decomposed."""

from __future__ import annotations

import math

import numpy as np

from convspec.arrays import IntArray
from convspec.operators.geometry import Axis, ConvGeometry
from convspec.operators.reduce import ReadAxis, Reduction

__all__ = ["conjugate_half", "fourier_obstacle", "torus_shape"]


def fourier_obstacle(geometry: ConvGeometry) -> str | None:
    """Why the operator is not block circulant, or None if it is."""
    for j, axis in enumerate(geometry.axes):
        read = ReadAxis.of(axis)
        if not (read.single or read.cyclic):
            return f"axis {j} {_obstacle(axis)}"
    return None


def _obstacle(axis: Axis) -> str:
    pad = f"({axis.before}, {axis.after})"
    if axis.mode != "circular" and axis.reads_padding:
        return f"has {axis.mode} padding {pad}, which is read at the border"
    if axis.size % axis.stride:
        return f"has stride {axis.stride}, which does not divide its {axis.size} pixels"
    return (
        f"has {axis.output} outputs for {axis.size} pixels at stride {axis.stride}, "
        f"where a torus has {axis.size // axis.stride}; padding {pad} does not fit"
    )


def torus_shape(reduced: Reduction) -> tuple[int, ...]:
    """Frequencies per axis."""
    return tuple(axis.outputs for axis in reduced.kept)


def conjugate_half(shape: tuple[int, ...], everything: bool) -> tuple[IntArray, IntArray]:
    """One frequency of each pair {w, -w} of a grid, and how many it stands for.

    Args:
        shape: Grid (N_1, ..., N_d).
        everything: Take all frequencies, once each: complex kernels have no symmetry.

    Returns:
        Indices (j, d) and multiplicities (j,), which add up to the grid. A frequency
        with ``w = -w`` stands for itself alone; there are 2^e of them, e the number
        of even sizes.
    """
    count = math.prod(shape)
    index = np.indices(shape).reshape(len(shape), count).T  # (count, d)
    if everything:
        return index, np.ones(count, dtype=np.int64)
    mirrored = -index % np.array(shape, dtype=np.int64)
    here = np.arange(count)
    there = np.zeros(count, dtype=np.int64)
    for j, size in enumerate(shape):
        there = there * size + mirrored[:, j]
    keep = here <= there
    return index[keep], np.where(here == there, 1, 2)[keep]
