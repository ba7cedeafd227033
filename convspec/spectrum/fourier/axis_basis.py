"""Orthonormal bases of images: of each axis that factors out, and their products.

With one tap, S is a selection: the pixel p, read ``count`` times, gives the singular
triple of ``sqrt(count)``, the indicator of its outputs over ``sqrt(count)``, and the
pixel itself. What S neither reads nor writes completes the two bases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from convspec.arrays import FloatArray, IntArray
from convspec.operators.axis import Axis
from convspec.operators.reads import Reads

__all__ = ["Atoms", "AxisBasis"]


@dataclass(frozen=True)
class AxisBasis:
    """An orthonormal basis of a line of pixels, made of groups of equal ones.

    Vector j of a group of pixels is their indicator for j = 0, else orthogonal to it:
    1 at the first j pixels and -j at the next, all over ``sqrt(j (j + 1))``.

    Attributes:
        group: The group of each pixel; (length,).
        rank: The place of each pixel in its group; (length,).
        vectors: (group, j) of each basis vector; (length, 2). Those of the singular
            triples come first.
        triples: How many these are.
    """

    group: IntArray
    rank: IntArray
    vectors: IntArray
    triples: int

    @classmethod
    def of_pixels(cls, read: Reads) -> AxisBasis:
        """Of the pixels: one vector each, those that are read in front."""
        length = read.axis.size
        live = read.pixels[read.counts > 0]
        order = np.concatenate((live, np.setdiff1d(np.arange(length), live)))
        each = np.stack((order, np.zeros(length, dtype=np.int64)), axis=1)
        zero = np.zeros(length, dtype=np.int64)
        return cls(np.arange(length), zero, each, len(live))

    @classmethod
    def of_outputs(cls, read: Reads) -> AxisBasis:
        """Of the outputs: grouped by the pixel they read where one tap is left."""
        length = read.outputs
        if not read.single:
            return cls.of_pixels(Reads.of(Axis(length, length, 1)))
        pixel = read.source[0]
        dead = np.flatnonzero(pixel < 0)
        group = pixel.copy()
        group[dead] = len(read.pixels) + np.arange(len(dead))  # a group of its own each
        order = np.argsort(group, kind="stable")
        first = np.searchsorted(group[order], group)
        rank = np.empty(length, dtype=np.int64)
        rank[order] = np.arange(length)
        rank -= first
        vectors = np.stack((group, rank), axis=1)
        leads = (pixel >= 0) & (rank == 0)
        found = vectors[leads]
        found = found[np.argsort(found[:, 0])]  # in the order of the pixels
        return cls(group, rank, np.concatenate((found, vectors[~leads])), len(found))

    def rows(self, index: IntArray) -> FloatArray:
        """Some of the basis vectors, (len(index), length)."""
        group, j = self.vectors[index].T[:, :, None]
        inside = self.group == group
        count = np.bincount(self.group)[self.vectors[index, 0]][:, None]
        helmert = np.where(self.rank < j, 1.0, np.where(self.rank == j, -j, 0.0))
        helmert = helmert / np.sqrt(np.maximum(j * (j + 1), 1))
        rows: FloatArray = inside * np.where(j == 0, 1 / np.sqrt(count), helmert)
        return rows


@dataclass(frozen=True)
class Atoms:
    """Basis images, one a row: a frequency's vector times one vector per other axis.

    Attributes:
        frequency: Place in the half of the frequencies.
        second: Whether it is the imaginary part of a pair; 0 or 1.
        group: The channel group.
        column: Which vector of the block's basis.
        lines: Per axis, which vector of its basis; None where it does not factor out.
    """

    frequency: IntArray
    second: IntArray
    group: IntArray
    column: IntArray
    lines: tuple[IntArray | None, ...]

    def runs(self) -> Iterator[tuple[int, IntArray]]:
        """Each frequency, and the rows that are of it."""
        order = np.argsort(self.frequency, kind="stable")
        ends = np.flatnonzero(np.diff(self.frequency[order])) + 1
        for run in np.split(order, ends):
            if len(run):
                yield int(self.frequency[run[0]]), run
