"""Cells that cover the torus of frequencies, sized by how fast F can vary.

``rho = sum_j n_j |w_j - w'_j|`` is the distance that counts (n_j the degree of F on axis
j), so a cell is a ball of that distance where such balls tile: an interval on one axis,
a diamond on two (twice the area of the square inside it), a diamond times an interval
on three.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convspec.rounding.directed import up

__all__ = ["Cells"]

# rho of the first cells, by the number of axes; more where that makes many cells, but
# below pi / 2
FIRST_REACHES = {1: (0.4, 0.8, 1.5), 2: (0.4, 0.8, 1.5), 3: (1.0, 1.5)}
MANY_CELLS = 2**16


@dataclass(frozen=True)
class Cells:
    """Cells of one shape, each of one group of channels.

    Attributes:
        groups: (k,), int64, ascending.
        centres: In turns, multiples of 2^-32 in [0, 1); (k, d).
        spans: Half the extent of a cell per axis, in turns: of the diamond's diagonals
            on the first two axes.
        degrees: n_j per axis.
        real: Whether w and -w are equivalent.
    """

    groups: Tensor
    centres: Tensor
    spans: tuple[float, ...]
    degrees: tuple[float, ...]
    real: bool

    @classmethod
    def cover(cls, groups: int, degrees: Sequence[float], real: bool) -> Cells:
        """Cells that cover the torus once for each group, half of it for real weights."""
        dim = len(degrees)
        counts = [0]
        for reach in FIRST_REACHES[dim]:
            counts = [_count(2 * math.pi * n / reach) for n in degrees]
            if groups * math.prod(counts) <= MANY_CELLS:
                break
        places = torch.cartesian_prod(*[torch.arange(count) for count in counts])
        places = places.reshape(-1, dim)
        if dim >= 2:  # the centres of diamonds are every other point, as on a chessboard
            places = places[places[:, :2].sum(1) % 2 == 0]
        centres = places / torch.tensor(counts, dtype=torch.float64)
        spans = [1 / count for count in counts]
        if dim != 2:  # the last axis is an interval of a full step
            spans[-1] /= 2
        one = torch.zeros(len(centres), dtype=torch.int64)
        cells = cls(one, centres, tuple(spans), tuple(degrees), real)._unmirrored()
        return replace(
            cells,
            groups=torch.arange(groups).repeat_interleave(len(cells)),
            centres=cells.centres.repeat(groups, 1),
        )

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def reach(self) -> float:
        """At least the largest rho between the centre and a point of the cell."""
        pairs = zip(self.degrees, self.spans, strict=True)
        steps = [2 * math.pi * degree * span for degree, span in pairs]
        return up(max(steps[:2]) + sum(steps[2:]), 8)

    @property
    def volume(self) -> float:
        """Of one cell, in turns to the power d."""
        corners = 2.0 if len(self.spans) >= 2 else 1.0  # diamonds are half as large
        return math.prod(2 * span for span in self.spans) / corners

    def hold(self, turns: Tensor, slack: float) -> Tensor:
        """Which points, or their mirror images for real weights, lie in a cell.

        Args:
            turns: (j, d).
            slack: By how much to enlarge the cells, relative.
        """
        spans = torch.tensor(self.spans, dtype=torch.float64)
        held = torch.zeros(len(turns), dtype=torch.bool)
        for sign in (1, -1) if self.real else (1,):
            for j in range(0, len(turns), 1024):
                gaps = sign * turns[j : j + 1024, None] - self.centres
                shares = (gaps - gaps.round()).abs() / spans
                first = shares[..., :2].sum(-1)
                most = torch.maximum(first, shares[..., 2:].sum(-1))
                held[j : j + 1024] |= (most <= 1 + slack).any(-1)
        return held

    def take(self, which: Tensor | slice) -> Cells:
        """The cells that a mask, an index or a slice picks."""
        return replace(self, groups=self.groups[which], centres=self.centres[which])

    def split(self) -> Cells:
        """Cells of half the reach that cover the same frequencies."""
        half = tuple(span / 2 for span in self.spans)
        offsets = _children(half)
        centres = (self.centres[:, None, :] + offsets) % 1.0
        groups = self.groups.repeat_interleave(len(offsets))
        cells = replace(self, groups=groups, centres=centres.flatten(0, 1), spans=half)
        return cells._unmirrored()

    def _unmirrored(self) -> Cells:
        """One cell of each mirrored pair, for real weights."""
        if not self.real:
            return self
        mirrored = -self.centres % 1.0
        larger = torch.zeros(len(self), dtype=torch.bool)
        decided = torch.zeros(len(self), dtype=torch.bool)
        for here, there in zip(self.centres.T, mirrored.T, strict=True):
            larger |= ~decided & (here > there)
            decided |= here != there
        centres = torch.where(larger[:, None], mirrored, self.centres)
        rows = torch.cat([self.groups[:, None].to(centres), centres], 1)
        rows = torch.unique(rows, dim=0)
        return replace(self, groups=rows[:, 0].to(torch.int64), centres=rows[:, 1:])


def _children(half: tuple[float, ...]) -> Tensor:
    """Where the centres of the parts lie, seen from the centre of the whole."""
    if len(half) == 1:
        steps = [[-half[0]], [half[0]]]
    else:
        a, b = half[:2]
        steps = [[a, 0.0], [-a, 0.0], [0.0, b], [0.0, -b]]
    if len(half) == 3:
        steps = [[*step, end] for step in steps for end in (-half[2], half[2])]
    return torch.tensor(steps, dtype=torch.float64)


def _count(steps: float) -> int:
    """The least power of two that is at least ``steps`` and 2: its parts are exact."""
    return 1 << max(1, math.ceil(math.log2(steps)))
