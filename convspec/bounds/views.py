"""Rows and columns of an operator as the kernel that they show: the taps they merge.

Output o of an axis reads each of its pixels with one or more taps, and pixel q is read by
each of its outputs with one or more taps: both are 0/1 matrices V with one row per pixel
(output) and one column per tap. The row block of an output (the column block of a pixel)
of the whole operator is ``K x_1 V_1 ... x_d V_d``: the kernel, without the taps that fall
into zero padding, with taps that meet in one pixel added up.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.operators.reads import Reads

__all__ = ["fans", "merged", "patches", "seen_through"]

# groups of taps that meet in one place, one group for each place
View = tuple[tuple[int, ...], ...]


def patches(read: Reads) -> list[IntArray]:
    """What outputs see of the taps, less what others see too; each (pixels, k)."""
    taps = len(read.taps)
    seen = [_groups(column.tolist(), range(taps)) for column in read.source.T]
    return _maximal(seen, taps)


def fans(read: Reads) -> list[IntArray]:
    """What pixels see of the taps, less what others see too; each (outputs, k)."""
    taps, outputs = np.nonzero(read.source >= 0)
    pixels = read.source[taps, outputs]
    seen = []
    for pixel in np.unique(pixels):
        here = pixels == pixel
        seen.append(_groups(outputs[here].tolist(), taps[here].tolist()))
    return _maximal(seen, len(read.taps))


def seen_through(blocks: Tensor, views: Sequence[IntArray]) -> Tensor:
    """The kernel through one view per axis, ``K x_1 V_1 ... x_d V_d``; differentiable.

    Args:
        blocks: (groups, rows, columns, *taps).
        views: Per axis, (seen, taps).

    Returns:
        (groups, rows, columns, *seen).
    """
    for view in views:
        # one axis behind the others at a time: d turns restore their order
        if np.array_equal(view, np.eye(len(view))):
            blocks = blocks.movedim(3, -1)
            continue
        matrix = torch.as_tensor(view).to(blocks)
        blocks = torch.tensordot(blocks, matrix, dims=([3], [1]))
    return blocks


def merged(views: Sequence[IntArray]) -> int:
    """How many taps at most are added up in one entry of what is seen."""
    return math.prod(int(view.sum(axis=1).max()) for view in views)


def _groups(places: Iterable[int], taps: Iterable[int]) -> View:
    """The taps that share a place, for each place that is not -1."""
    found: dict[int, list[int]] = {}
    for place, tap in zip(places, taps, strict=True):
        if place >= 0:
            found.setdefault(place, []).append(tap)
    return tuple(sorted(tuple(sorted(group)) for group in found.values()))


def _maximal(views: Iterable[View], taps: int) -> list[IntArray]:
    """Views that no other one contains, as matrices; a blank one if all are blank."""
    kept: list[Counter[tuple[int, ...]]] = []
    for view in sorted(set(views), key=len, reverse=True):
        counted = Counter(view)
        if view and not any(counted <= other for other in kept):
            kept.append(counted)
    return [_matrix(counted, taps) for counted in kept] or [np.zeros((1, taps), np.int64)]


def _matrix(view: Counter[tuple[int, ...]], taps: int) -> IntArray:
    groups = list(view.elements())
    matrix = np.zeros((len(groups), taps), dtype=np.int64)
    for row, group in enumerate(groups):
        matrix[row, list(group)] = 1
    return matrix
