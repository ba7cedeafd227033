"""Upper bounds from tori: counted, where a phase leaves few values high, or their norms.

``sigma_i(A) <= sigma_i(C)`` for a torus C that A is a compression of (Thompson 1972), so
that a level above which C has m singular values has at most m of A above it. With m Ritz
vectors above that level, Lehmann's bound (:mod:`convspec.bounds.spectral_norm.lehmann`)
exceeds sigma_1 by the square of their residuals. A torus with a peak of the symbol on its
grid has few values near it: the next ones are a whole step of the grid away, while the
first values of A are about half a step away.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import product

import torch
from torch import Tensor

from convspec.bounds.iteration import small_side
from convspec.bounds.spectral_norm.count import Above, singular_values_above
from convspec.bounds.spectral_norm.deleted import DeletedTorus
from convspec.bounds.spectral_norm.field import Field
from convspec.bounds.spectral_norm.inertia import MOST as MOST_OF_INERTIA
from convspec.bounds.spectral_norm.inertia import Counted, inertia_flops
from convspec.bounds.spectral_norm.lehmann import Ritz
from convspec.bounds.spectral_norm.lower import Leading, leading
from convspec.bounds.spectral_norm.parts import Parts, Wrap
from convspec.bounds.spectral_norm.prune import Region, prune
from convspec.bounds.spectral_norm.search import Search
from convspec.errors import TooLargeError
from convspec.operators.kernel import ScaledKernel
from convspec.operators.product_error import convolution_error
from convspec.rounding import down, up
from convspec.tori.relation import Relation

__all__ = ["Tori"]

# vectors that are taken at most, and values of a torus that are looked at
MOST = 16
# tests of one torus that are worth comparing further phases, and values of it for each
# vector: where there are many, other phases have as many
FEW, MANY = 256, 4
# levels keep this many times of what tests need
KEPT = 256
# the part of the gap that is left above the Ritz values: less costs little, as the level
# falls by far less than the distance to the next values of a torus
SHARE = 0.125


@dataclass(frozen=True)
class Room:
    """How many values of a torus are above A's.

    Attributes:
        count: So many, at least one.
        gap: From the square of A's first value to that of the torus' next, relative.
        above: The values of the torus.
    """

    count: int
    gap: float
    above: Above

    @property
    def rank(self) -> tuple[int, float]:
        """Less is better."""
        return self.count, -self.gap


@dataclass
class Tori:
    """The tori that an operator is a compression of, up to repeats, of any phases.

    Attributes:
        search: What is to be proven.
        kernel: The operator.
        found: Its leading vector.
        kinds: How each axis sits on its torus.
        rtol: Relative gap to stop at.
        size: At least the norm.
    """

    search: Search
    kernel: ScaledKernel
    found: Leading
    kinds: Sequence[Relation]
    rtol: float
    size: float

    def __post_init__(self) -> None:
        self._free = tuple(relation.twisted for relation in self.kinds)
        self._shape = tuple(relation.frequencies for relation in self.kinds)
        self.wraps = self.search.wraps(self.found, self.kinds)
        self.full = self.search.parts(self.wraps)
        self._region: Region | None = None
        self._room: Room | None = None  # the torus that leaves most, of those counted
        self.counted: Counted | None = None  # those of the torus on the peak
        self._field: Field | None = None
        setup = Field.setup_flops(self.full)
        if setup <= self.search.budget.part(0.1):
            self.search.budget.spend(setup)
            self._field = Field.of(self.full, self.search.budget.bytes)

    @property
    def _countable(self) -> bool:
        """Whether values of tori can be counted, for phases that may be chosen."""
        return self._field is not None and any(self._free)

    @cached_property
    def on_peak(self) -> list[Wrap]:
        """A torus with a peak on its grid: few of its values are above those of A."""
        return self.search.wraps(self.found, self.kinds, between=False)

    @cached_property
    def inertia_flops(self) -> float:
        """Estimated operations of asking the inertia of a torus; inf where it is none."""
        reduced = self.search.reduced
        if not self.kinds or all(read.cyclic for read in reduced.kept):
            return math.inf
        block = reduced.weight[: len(reduced.weight) // reduced.groups]
        torus = DeletedTorus.of(block, reduced.kept, tuple(self.on_peak))
        return (
            math.inf if torus is None else inertia_flops(torus, self.search.budget.bytes)
        )

    def below_supremum(self, words: str) -> None:
        """Prove the target by the supremum of the symbol, if it seems to be below it."""
        field = self._field
        if field is None or not self._countable:
            return
        target = self.search.target
        level = field.scaled(down(target / self.full.factor))
        if level < self._estimate(field):
            return
        region = self._pruned(field, level)
        if region is not None and not len(region.cells):
            self.search.include_open(target, words)

    def by_one_vector(self, words: str) -> None:
        """Lehmann's bound from the leading vector, and counts on tori with a peak."""
        if self._field is not None and self._countable:
            self._by_vectors(self._field, self.found, words)

    @property
    def vectors(self) -> int:
        """How many leading vectors of A the torus that leaves most room asks for.

        Peaks of real kernels come in pairs.
        """
        room = self._room
        return MOST + 1 if room is None else room.count + room.count % 2

    def by_several_vectors(self, words: str) -> None:
        """Lehmann's bound from as many vectors as a torus has values above A's."""
        field, room, count = self._field, self._room, self.vectors
        if field is None or room is None or count > MOST:
            return
        # the sum of the squares of residuals over the gap is what the bound has above
        residual = math.sqrt(SHARE * self.rtol * room.gap / count)
        try:
            found = leading(
                self.kernel,
                self.rtol,
                count,
                residual=residual,
                max_flops=max(0.0, self.search.budget.left),
                max_bytes=self.search.budget.bytes,
            )
        except TooLargeError:
            return
        self._include(field, self._ritz(found), room.above, words)
        if not self.search.done:
            self._by_vectors(field, found, words)

    @cached_property
    def caps(self) -> Tensor:
        """Bounds that are known on the blocks of the torus between; (groups, j)."""
        full, search = self.full, self.search
        shape = search.reduced.groups, len(full.index)
        caps = torch.full(shape, math.inf, dtype=torch.float64)
        field = self._field
        if field is None:
            return caps
        goal = down(search.target / full.factor)
        level = field.scaled(goal)
        if self._region is None:
            self._region = self._pruned(field, level)
        grid = field.grid(full)
        open_ = torch.ones(shape, dtype=torch.bool)
        if self._region is not None:
            open_ = ~self._region.outside(grid.turns)
        groups, places = open_.nonzero(as_tuple=True)
        if len(groups) * field.flops <= search.budget.left:
            search.budget.spend(len(groups) * field.flops)
            passed = field.below(groups, grid, places.numpy(), level)
            open_[groups[passed], places[passed]] = False
        caps[~open_] = goal
        return caps

    def _ritz(self, found: Leading) -> Ritz:
        side = small_side(self.kernel.operator)
        return Ritz(side, found.rows, convolution_error(side), self.size)

    def _by_vectors(self, field: Field, found: Leading, words: str) -> None:
        """Lehmann's bound from these vectors, and what tori have above them."""
        ritz = self._ritz(found)
        values, residuals = ritz.values, ritz.residuals
        if not float(values[0]) > 0:
            return
        gap = float(residuals.square().sum()) / (SHARE * self.rtol * float(values[0]))
        square = float(values[-1]) - gap - KEPT * field.slack * float(values[0])
        if not square > 0.25 * float(values[0]):
            return
        level = field.scaled(down(down(math.sqrt(square)) / self.full.factor))
        self._region = self._pruned(field, level)
        budget = self.search.budget
        most = MOST_OF_INERTIA if self.inertia_flops <= budget.left else 2 * MOST
        for parts in self._phases():
            grid = field.grid(parts)
            above = singular_values_above(field, grid, self._region, level, most)
            tests = above.tests if above else len(grid.index)
            budget.spend(tests * field.flops)
            if above is not None:
                self._include(field, ritz, above, words)
                self._look(field, ritz, above)
            if not self.counted and above and self.search.reduced.groups == 1:
                self.counted = Counted(field, above)
            enough = tests > FEW and len(values) == 1
            many = above is None or len(above.values) > MANY * len(values)
            if self.search.done or enough or many or budget.left < 0:
                break

    def _look(self, field: Field, ritz: Ritz, above: Above) -> None:
        """Keep the torus that has fewest values above A's first one, or a wider gap."""
        square = float(ritz.values[0]) / self._square_scale(field)
        high = [value for value in above.values if value * value > square]
        rest = above.values[len(high) : len(high) + 1] or [above.level]
        room = Room(max(1, len(high)), 1 - min(1.0, rest[0] ** 2 / square), above)
        if self._room is None or room.rank < self._room.rank:
            self._room = room

    def _square_scale(self, field: Field) -> float:
        """What squares of values of the scaled symbol are multiplied by to be A's."""
        return self.full.factor**2 * 4.0**field.symbol.exponent

    def _include(self, field: Field, ritz: Ritz, above: Above, words: str) -> None:
        """The best of Lehmann's bounds that the values of a torus leave room for."""
        scale = self._square_scale(field)
        high = [value**2 * scale for value in above.values]
        best, best_level, promise = 0, 0.0, math.inf
        for m in range(1, len(ritz.values) + 1):
            floor = max([above.level**2 * scale, *high[m : m + 1]])
            theta = float(ritz.values[m - 1])
            gap = theta - floor
            room = float(ritz.residuals[:m].square().sum()) / gap if gap > 0 else math.inf
            if room < promise:
                share = 0.0 if len(high) <= m else 0.25
                best, promise = m, room
                best_level = max(above.level, math.sqrt((floor + share * gap) / scale))
        if not best or above.count(best_level) not in range(best + 1):
            return
        level = up(field.unscaled(best_level) * self.full.factor)
        square = ritz.upper(up(level * level), best)
        if square < math.inf:
            self.search.include_open(up(math.sqrt(square)), words)

    def _phases(self) -> Iterator[Parts]:
        """Tori with a peak on the grid, and of symmetric ones."""
        seen = set()
        choices = [(Fraction(0), Fraction(1, 2))[: 1 + free] for free in self._free]
        for turns in [tuple(wrap.turn for wrap in self.on_peak), *product(*choices)]:
            if turns not in seen:
                seen.add(turns)
                yield self.search.parts(self._wraps(turns))

    def _wraps(self, turns: Sequence[Fraction]) -> list[Wrap]:
        return [Wrap(*pair) for pair in zip(self.kinds, turns, strict=True)]

    def _pruned(self, field: Field, level: float) -> Region | None:
        count = math.prod(self._shape[axis] for axis in field.symbol.axes)
        region = prune(field, level, self._estimate(field), count)
        if region is not None:
            self.search.budget.spend(region.tests * field.flops)
        return region

    def _estimate(self, field: Field) -> float:
        """Above the supremum of the scaled symbol, if its peak is as flat as usual.

        The first value of A is about half a step of the grid away from the peak; by
        Bernstein's inequality the symbol falls by at most ``1 - cos`` of that, per axis.
        """
        lowest = field.scaled(self.found.lower / self.full.factor)
        symbol = field.symbol
        axes = zip(symbol.axes, symbol.degrees, symbol.steps, strict=True)
        halves = [math.pi * n * step / self._shape[axis] for axis, n, step in axes]
        return lowest * (1 + 1.5 * min(0.3, max(halves, default=0.0)) ** 2)
