"""Frequencies in pairs {w, -w}: for real weights ``F(-w)`` is the conjugate of F(w)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from convspec.arrays import IntArray

__all__ = ["conjugate_half", "one_of_each_pair"]


def conjugate_half(shape: Sequence[int], everything: bool) -> tuple[IntArray, IntArray]:
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
    index = np.indices(tuple(shape)).reshape(len(shape), count).T  # (count, d)
    if everything:
        return index, np.ones(count, dtype=np.int64)
    mirrored = -index % np.array(shape, dtype=np.int64)
    return one_of_each_pair(index, index, mirrored, shape)


def one_of_each_pair(
    rows: IntArray, index: IntArray, mirrored: IntArray, shape: Sequence[int]
) -> tuple[IntArray, IntArray]:
    """The first row of each pair, and how many it stands for.

    Args:
        rows: What to choose from; (j, ...).
        index: Where each stands on a grid; (j, d).
        mirrored: Where the other one of its pair stands; (j, d).
        shape: Of the grid.
    """
    here = np.zeros(len(index), dtype=np.int64)
    there = np.zeros(len(index), dtype=np.int64)
    for j, size in enumerate(shape):
        here = here * size + index[:, j]
        there = there * size + mirrored[:, j]
    keep = here <= there
    return rows[keep], np.where(here == there, 1, 2)[keep]
