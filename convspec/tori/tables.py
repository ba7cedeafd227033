"""What one axis reads, and the statements that place it inside a torus: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from convspec.arrays import IntArray
from convspec.operators.geometry import Axis
from convspec.operators.reduce import ReadAxis

__all__ = ["KINDS", "AxisTables", "Relation", "Side"]

KINDS = ("compression", "larger", "perturbation", "rows", "unfolding")


@dataclass(frozen=True)
class Side:
    """Outputs or pixels of an axis, of its torus, and what the two have in common.

    Attributes:
        total: Dimension on the operator's side.
        kept: Dimension of the part on which operator and torus agree.
        hit: Dimension of the image of that part in the torus.
        torus: Dimension of the torus, pixels that no tap reads not counted.
        counts: For each hit coordinate of the torus (outputs) or each kept pixel: how
            many coordinates of the other side it stands for; as long as ``hit``.
    """

    total: int
    kept: int
    hit: int
    torus: int
    counts: tuple[int, ...]

    @classmethod
    def plain(cls, total: int, kept: int, torus: int) -> Side:
        """Every kept coordinate stands for one."""
        return cls(total, kept, kept, torus, (1,) * kept)


@dataclass(frozen=True)
class Relation:
    """An axis on a torus.

    Attributes:
        kind: One of :data:`KINDS`.
        stride: Stride s on the torus.
        frequencies: Outputs M of the torus; it has s M pixels.
        lags: The pixel that each live tap of output 0 reads.
        outputs: The kept outputs, indices among the live ones.
        rows: Outputs.
        columns: Pixels.
        untwisted: Whether it holds at phase 0.
        twisted: Whether it holds at every other phase.
    """

    kind: str
    stride: int
    frequencies: int
    lags: tuple[int, ...]
    outputs: tuple[int, ...]
    rows: Side
    columns: Side
    untwisted: bool
    twisted: bool


@dataclass(frozen=True)
class AxisTables:
    """The reads of an axis in unwrapped coordinates.

    Attributes:
        stride: Pixels between neighbouring outputs.
        lags: The coordinate that each live tap of output 0 reads; (k,).
        rows: The outputs that read at least one pixel; (m,).
        source: The pixel read, or -1 for a zero; (k, m).
        size: Input pixels, read or not.
        circular: Whether the padding is circular.
    """

    stride: int
    lags: IntArray
    rows: IntArray
    source: IntArray
    size: int
    circular: bool

    @classmethod
    def of(cls, axis: Axis, read: ReadAxis) -> AxisTables:
        """Keep live taps and the outputs that read anything."""
        source = axis.source[read.taps]
        rows = np.flatnonzero((source >= 0).any(axis=0))
        return cls(
            axis.stride,
            axis.dilation * read.taps - axis.before,
            rows,
            source[:, rows],
            axis.size,
            axis.mode == "circular",
        )

    @cached_property
    def coordinates(self) -> IntArray:
        """``x[t, o] = s o + lag_t``: where each read would be on an endless line."""
        found: IntArray = np.add.outer(self.lags, self.stride * self.rows)
        return found

    @cached_property
    def pixels(self) -> IntArray:
        """The pixels that are read."""
        return np.unique(self.source[self.source >= 0])

    @cached_property
    def used(self) -> tuple[IntArray, IntArray]:
        """The coordinates at which a pixel is read, and the pixel that each shows."""
        live = self.source >= 0
        used, first = np.unique(self.coordinates[live], return_index=True)
        return used, self.source[live][first]

    @property
    def isometric(self) -> bool:
        """Whether no pixel is shown at two coordinates."""
        return len(self.used[0]) == len(self.pixels)

    def torus_pixels(self, frequencies: int, stride: int, more: IntArray) -> int:
        """Pixels of a torus that a tap reads, or that are among ``more``."""
        size = frequencies * stride
        live = np.zeros(size, dtype=bool)
        steps = stride * np.arange(frequencies, dtype=np.int64)
        live[np.add.outer(self.lags, steps) % size] = True
        live[more % size] = True
        return int(live.sum())
