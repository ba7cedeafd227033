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
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import FloatArray
from convspec.rounding.directed import up
from convspec.rounding.waves import TURN, nearest_turns

__all__ = ["MANY_CELLS", "Cells"]

# rho of the first cells, by the number of axes; more where that makes many cells, but
# below pi / 2
FIRST_REACHES = {1: (0.2, 0.4, 0.75), 2: (0.4, 0.8, 1.5), 3: (1.2, 1.5)}
MANY_CELLS = 2**16
# more than the distance of a number, rounded once already, to a multiple of 2^-32
ROUNDING = 0.6 * TURN
# of coordinates in steps of the spans, before they are compared
EPS, ROUNDINGS = 2.0**-52, 8


@dataclass(frozen=True)
class Cells:
    """Cells of one shape, each of one group of channels.

    Attributes:
        groups: (k,), int64, ascending.
        centres: In turns, multiples of 2^-32 in [0, 1); (k, d).
        spans: Half the extent of a cell per axis, in turns: of the diamond's diagonals
            on the first two axes. Multiples of 2^-32, too.
        degrees: n_j per axis.
        real: Whether w and -w are equivalent.
    """

    groups: Tensor
    centres: Tensor
    spans: tuple[float, ...]
    degrees: tuple[float, ...]
    real: bool

    @classmethod
    def cover(
        cls,
        groups: int,
        degrees: Sequence[float],
        real: bool,
        reaches: Sequence[float] = (),
    ) -> Cells:
        """Cells that cover the torus once for each group, half of it for real weights.

        Centres are rounded to multiples of 2^-32, and spans enlarged by what that takes.

        Args:
            groups: Number of groups.
            degrees: n_j per axis.
            real: Whether w and -w are equivalent.
            reaches: What the cells' reach must not exceed, but for the enlargement: the
                first of these that does not make many cells, else the last; as good for
                most purposes unless told.
        """
        reaches = reaches or FIRST_REACHES[len(degrees)]
        sizes = [groups * cls.count(degrees, False, reach) for reach in reaches]
        few = (r for r, n in zip(reaches, sizes, strict=True) if n <= MANY_CELLS)
        reach = next(few, reaches[-1])
        counts = _counts(degrees, reach)
        places = torch.cartesian_prod(*[torch.arange(count) for count in counts])
        places = places.reshape(-1, len(counts))
        if len(counts) >= 2:  # centres of diamonds are every other point of a chessboard
            places = places[places[:, :2].sum(1) % 2 == 0]
        centres = nearest_turns(places / torch.tensor(counts, dtype=torch.float64))
        one = torch.zeros(len(centres), dtype=torch.int64)
        cells = cls(one, centres, _spans(counts), tuple(degrees), real)._unmirrored()
        return replace(
            cells,
            groups=torch.arange(groups).repeat_interleave(len(cells)),
            centres=cells.centres.repeat(groups, 1),
        )

    @staticmethod
    def count(degrees: Sequence[float], real: bool, reach: float) -> int:
        """Cells of :meth:`cover` per group, but for a few that are their own mirrors."""
        count = math.prod(_counts(degrees, reach)) // (2 if len(degrees) >= 2 else 1)
        return count // 2 + 1 if real else count

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
        """The volume of one cell, in turns to the power d."""
        corners = 2.0 if len(self.spans) >= 2 else 1.0  # diamonds are half as large
        return math.prod(2 * span for span in self.spans) / corners

    def hold(self, turns: Tensor, slack: float) -> Tensor:
        """Which points, or their mirror images for real weights, lie in a cell.

        In steps of the spans, ``|x| + |y| = max(|x + y|, |x - y|)``: turned by half a
        right angle all cells are cubes of side 2, and the nearest centre decides.

        Args:
            turns: (j, d).
            slack: By how much to enlarge the cells, relative.
        """
        from scipy.spatial import cKDTree  # which takes a tenth of a second to load

        if not len(self):
            return torch.zeros(len(turns), dtype=torch.bool)
        centres = cKDTree(self._cubes(self._images(slack)))
        held: np.ndarray[Any, np.dtype[np.bool_]] = np.zeros(len(turns), dtype=bool)
        most = 1 + slack + ROUNDINGS * EPS / min(self.spans)
        for sign in (1, -1) if self.real else (1,):
            places = self._cubes((sign * turns[~torch.from_numpy(held)]) % 1.0)
            nearest, _ = centres.query(places, p=math.inf, distance_upper_bound=2 * most)
            held[~held] = nearest <= most
        return torch.from_numpy(held)

    def _images(self, slack: float) -> Tensor:
        """The centres, and those a turn away whose cells reach into the first turn."""
        found = self.centres
        for axis, span in enumerate(self.spans):
            beyond = 2 * span * (1 + slack)
            step = torch.eye(len(self.spans), dtype=torch.float64)[axis]
            low, high = found[:, axis] <= beyond, found[:, axis] >= 1 - beyond
            found = torch.cat([found, found[low] + step, found[high] - step])
        return found

    def _cubes(self, turns: Tensor) -> FloatArray:
        """Points in coordinates in which cells are cubes of side 2."""
        scaled = turns / torch.tensor(self.spans, dtype=torch.float64)
        if len(self.spans) >= 2:
            x, y, *rest = scaled.T
            scaled = torch.stack([x + y, x - y, *rest], 1)
        found: FloatArray = scaled.numpy()
        return found

    @classmethod
    def joined(cls, parts: Sequence[Cells]) -> Cells:
        """Cells of the same shape, in the order of their groups."""
        groups = torch.cat([part.groups for part in parts])
        centres = torch.cat([part.centres for part in parts])
        order = groups.argsort(stable=True)
        return replace(parts[0], groups=groups[order], centres=centres[order])

    def take(self, which: Tensor | slice) -> Cells:
        """The cells that a mask, an index or a slice picks."""
        return replace(self, groups=self.groups[which], centres=self.centres[which])

    @property
    def divisible(self) -> bool:
        """Whether there are frequencies between the centres of a cell's parts."""
        return min(self.spans) > TURN

    def split(self) -> Cells:
        """Cells of half the reach, but for rounding, that cover the same frequencies."""
        half = tuple(TURN * math.ceil(span / TURN / 2) for span in self.spans)
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
    """Where the centres of a cell's parts lie, seen from its own centre."""
    if len(half) == 1:
        steps = [[-half[0]], [half[0]]]
    else:
        a, b = half[:2]
        steps = [[a, 0.0], [-a, 0.0], [0.0, b], [0.0, -b]]
    if len(half) == 3:
        steps = [[*step, end] for step in steps for end in (-half[2], half[2])]
    return torch.tensor(steps, dtype=torch.float64)


def _counts(degrees: Sequence[float], reach: float) -> list[int]:
    """How many steps of centres each axis has: even numbers, as on a chessboard.

    An interval of half a step reaches ``pi n / count``, a diamond ``2 pi n / count``, and
    both together their sum.
    """
    steps = [math.pi * len(degrees) * degree / reach for degree in degrees]
    return [2 * max(1, math.ceil(step / 2 - 1e-9)) for step in steps]


def _spans(counts: Sequence[int]) -> tuple[float, ...]:
    """The cells' spans per axis with which they cover the torus from rounded centres.

    With e the rounding and a, b the spans, ``|x| / a + |y| / b <= 1`` implies
    ``(|x| + e) / a' + (|y| + e) / b' <= 1`` for a' and b' larger by the factor
    ``1 + e / a + e / b``.
    """
    spans = [1 / count for count in counts]
    if len(counts) != 2:  # the last axis is an interval of a full step
        spans[-1] /= 2
    parts = [spans[:2], spans[2:]]
    wider = [s * (1 + sum(ROUNDING / t for t in part)) for part in parts for s in part]
    return tuple(TURN * math.ceil(span / TURN) for span in wider)
