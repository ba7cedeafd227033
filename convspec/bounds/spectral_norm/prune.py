"""Where in frequency a symbol may exceed a level: branch and bound over cells.

Let M be at least the supremum of sigma_1 over all frequencies, and ``T = M cos(a)`` a
level. Along a straight line a value ``Re u^H F v`` is a real function f of exponential
type n with ``|f| <= M``, and ``f'^2 + n^2 f^2 <= n^2 M^2`` (Duffin and Schaeffer, Bull.
AMS 44, 1938): ``arccos(f / M)`` changes by at most n per unit. So if sigma_1 exceeds T
somewhere in a cell of reach rho around c, then ``sigma_1(F(c)) > M cos(a + rho)``; a cell
with

    sigma_1(F(c)) <= M cos(a + rho)

holds no frequency above the level. M itself is a guess at first. It is proven at the end
by the cells that are left, with a = 0 (:mod:`convspec.frequency.search.rule`): a cell
that passes for the level passes for M, if M is at least the level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.bounds.spectral_norm.field import Field, at_most_squared
from convspec.frequency.search.cells import Cells
from convspec.krylov.estimates import largest_estimates
from convspec.rounding.directed import down, up
from convspec.rounding.norms import above
from convspec.run.threads import parallel_map

__all__ = ["Region", "prune"]

# cosines and arc cosines of the C library are good to a unit in the last place
LIBM = 8
# how often the guess of the supremum is raised
RAISES = 4
# a region that leaves more of the torus than this is not worth having
WORTH = 0.7
# rounding of turns, in shares of a cell
SLACK = 1e-6


@dataclass(frozen=True)
class Region:
    """Cells outside of which ``sigma_1 <= level`` is proven, for every group.

    Attributes:
        cells: They may overlap; one of each mirrored pair for real kernels.
        groups: Number of groups.
        tests: Cholesky tests that it took.
    """

    cells: Cells
    groups: int
    tests: int

    def outside(self, turns: Tensor) -> Tensor:
        """Which points are outside of all cells: (j, d) -> (groups, j)."""
        found = torch.ones(self.groups, len(turns), dtype=torch.bool)
        for group in torch.unique(self.cells.groups).tolist():
            some = self.cells.take(self.cells.groups == group)
            found[group] = ~some.hold(turns, SLACK)
        return found


def prune(field: Field, level: float, estimate: float, count: int) -> Region | None:
    """Find the cells in which sigma_1 of the scaled symbol may exceed a level.

    Args:
        field: The symbol.
        level: T.
        estimate: About the supremum, a little above.
        count: Frequencies on the torus; more tests than that are not worth it.

    Returns:
        None where testing all frequencies of a torus is cheaper.
    """
    symbol = field.symbol
    if not (1 <= symbol.dim <= 3 and level > 0):
        return None
    cover = Cells.cover(symbol.groups, symbol.degrees, not symbol.is_complex)
    each = count
    count = symbol.groups * (count if symbol.is_complex else count // 2 + 1)
    if 2 * len(cover) > count:
        return None
    cap, search = max(level, estimate), _Search(field, level, each, count)
    for _ in range(RAISES):
        left = search.descend(cover, cap)
        if left is None:
            return None
        higher = search.exceeding(left, cap)
        if higher is None:
            return None
        if higher == cap:
            left = left.take(slice(0)) if cap <= level else left
            return Region(left, symbol.groups, search.tests)
        cap = higher
    return None


@dataclass
class _Search:
    """A search for the cells above a level; it counts its tests."""

    field: Field
    level: float
    each: int
    count: int
    tests: int = 0

    def descend(self, cells: Cells, cap: float) -> Cells | None:
        """The cells that may exceed the level if the supremum is at most ``cap``."""
        angle = up(math.acos(min(1.0, down(self.level / cap))), LIBM)
        angle = angle if self.level < cap else 0.0
        while True:
            square = _square(cap, up(angle + cells.reach))
            passed = self._examine(cells, square)
            left, share = cells.take(~passed), float(passed.double().mean())
            inside = len(left) * left.volume * self.each
            if not len(left):
                return left
            parts = 2**self.field.symbol.dim
            if parts * len(left) > inside * (share + 0.1) or not left.divisible:
                return left if inside <= WORTH * self.count else None
            cells = left.split()

    def exceeding(self, cells: Cells, cap: float) -> float | None:
        """``cap`` if the supremum is proven to be at most that, a higher guess, or None.

        Args:
            cells: Outside of them it is known.
            cap: M.
        """
        while len(cells):
            if self.tests > 2 * self.count or not cells.divisible:
                return None
            bend = float(above(self.field.gram.bend(cells.spans)).max())
            bent = down(down(cap * cap) - bend)
            passed = self._examine(cells, max(_square(cap, cells.reach), bent))
            cells = cells.take(~passed)
            if len(cells):
                highest = self._highest(cells)
                if highest > cap * cap * (1 - 1e-9):
                    return 1.002 * math.sqrt(highest)
                cells = cells.split()
        return cap

    def _highest(self, cells: Cells) -> float:
        """The largest of the squares of sigma_1 at the cells' centres, about."""
        size = self.field.chunk(len(cells))
        found = 0.0
        for first in range(0, len(cells), size):
            some = slice(first, first + size)
            matrices = self.field.gram.at(cells.groups[some], cells.centres[some])
            found = max(found, float(largest_estimates(matrices).max()))
        return found

    def _examine(self, cells: Cells, square: float) -> Tensor:
        """Which cells' centres have sigma_1^2 below a square."""
        passed = torch.zeros(len(cells), dtype=torch.bool)
        self.tests += len(cells)
        if square <= 0:
            return passed
        gram = self.field.gram

        def examine(first: int) -> None:
            some = slice(first, first + size)
            groups = cells.groups[some]
            matrices = gram.at(groups, cells.centres[some])
            passed[some] = at_most_squared(matrices, square, gram.error[groups])

        size = self.field.chunk(len(cells))
        parallel_map(examine, range(0, len(cells), size))
        return passed


def _square(cap: float, angle: float) -> float:
    """At most ``(cap cos(angle))^2``, 0 beyond a right angle."""
    cosine = down(math.cos(angle), LIBM) if angle < math.pi / 2 else 0.0
    return max(0.0, down((cap * max(0.0, cosine)) ** 2, 4))
