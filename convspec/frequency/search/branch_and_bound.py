"""Branch and bound over the torus of frequencies.

Level by level: test every cell at its centre, split those that fail, look from the most
promising for a better extreme. The cells' reach halves from level to level, so the gap
that a level could prove, ``1 / cos(rho) - 1``, falls to a quarter.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor

from convspec.frequency.gram import LEAST_CHUNK, Gram
from convspec.frequency.reduced import ReducedSymbol
from convspec.frequency.search.ascents import ascend, refined, worth
from convspec.frequency.search.cells import Cells
from convspec.frequency.search.cover import first_cover, sample
from convspec.frequency.search.peak import Peak
from convspec.frequency.search.rule import Rule
from convspec.run.budget import Budget
from convspec.run.threads import available_cores, one_thread, parallel_map

__all__ = ["Found", "SearchBudget", "search"]

CHUNK_BYTES = 2**23
# less than this is not worth a thread: bytes of matrices times their side
CHUNK_WORK = 2**23
# up to so much work on a level, cells times the cube of their side, and up to this side
# one thread is quicker than several that take turns
ONE_THREAD_WORK, ONE_THREAD_SIDE = 2**25, 128
# a cell, with what splitting it and finding mirrored ones takes
CELL_BYTES = 256
# a level begins with this many times as many cells as the sample has
PART = 2
# rough estimates are up to a tenth too low for random kernels: so many of the best
# are taken anew, closer, before a level is said to have nothing better
CLOSER = 32
# how much weaker a bound is tried when the budget ends early
SLACKS = (0.0, 1e-14, 1e-12, 1e-9, 1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1.0)
# how long a test takes at most, in values of the sample, about
FIRST_TESTS = 2.0


@dataclass
class SearchBudget(Budget):
    """What a search may take; it counts the frequencies that it tested.

    Attributes:
        most: Frequencies to test, at most.
        evaluations: Frequencies tested so far.
    """

    most: float = math.inf
    evaluations: int = 0

    def affords(self, cells: int, flops_each: float, seconds_each: float) -> bool:
        """Whether so many more frequencies can be tested."""
        if self.evaluations + cells > self.most:
            self.short_of = self.short_of or "evaluations"
            return False
        return self.allows(cells * flops_each, cells * CELL_BYTES, cells * seconds_each)

    def tested(self, cells: int, flops_each: float) -> None:
        """Count frequencies."""
        self.evaluations += cells
        self.spend(cells * flops_each)


@dataclass(frozen=True)
class Found:
    """The outcome of a search.

    Attributes:
        peak: The best frequency, with its certified value.
        target: The bound on the extreme over all frequencies that is proven, trivial (0
            or infinite) if the budget ended before there was any.
    """

    peak: Peak
    target: float


def search(symbol: ReducedSymbol, gram: Gram, rule: Rule, budget: SearchBudget) -> Found:
    """Enclose the extreme singular value over all frequencies and groups.

    Args:
        symbol: The symbol, of one frequency axis at least.
        gram: Its Gram polynomial.
        rule: What to prove; it is aimed at the best value found here.
        budget: What it may take.
    """
    some = sample(symbol.groups, symbol.degrees, not symbol.is_complex)
    with ExitStack() as alone:  # in one thread, until there is more to do
        if _is_little(some, symbol.side):
            alone.enter_context(one_thread())
        return _Search(symbol, gram, rule, budget, alone).enclose(some)


@dataclass
class _Search:
    """One search; ``alone`` is closed once a level has work for several threads."""

    symbol: ReducedSymbol
    gram: Gram
    rule: Rule
    budget: SearchBudget
    alone: ExitStack
    peaks: list[Peak] = field(default_factory=list)

    def enclose(self, some: Cells) -> Found:
        """The extreme between its ends, found level by level from a sample of cells."""
        begun, flops = self.budget.elapsed, self.gram.flops_each
        squares = _examine(self.gram, self.rule, some, test=False)[1]
        each = (self.budget.elapsed - begun) / len(some)
        self.budget.tested(len(some), flops)
        self.look(some, squares)
        cells = first_cover(
            some,
            self.symbol.groups,
            squares,
            self.rule,
            self.peaks[0].value ** 2,
            float(self.gram.bend(some.spans).max()),
            lambda tests: self.budget.affords(tests, flops, FIRST_TESTS * each),
        )
        left, seen = some.take(slice(0)), len(cells) <= len(some)
        # a first level that is no larger than the sample takes no longer
        while seen or self.budget.affords(len(cells) + len(left), flops, each):
            if self.rule.target <= 0:
                break
            begun, seen = self.budget.elapsed, False
            if not _is_little(cells, self.symbol.side):
                self.alone.close()
            left = self.level(cells, len(some))
            if not len(left):
                return Found(self.refined(), self.rule.target)
            each = (self.budget.elapsed - begun) / len(cells)
            if not left.divisible:
                break
            cells = left.split()
        target = _weaker_target(self.gram, self.rule, left)
        return Found(self.refined(), target)

    def level(self, cells: Cells, few: int) -> Cells:
        """The cells that fail.

        A large level begins with a part of it, to aim the rest at what is found there.
        """
        lefts = [cells.take(slice(0))]
        for part in _parts(cells, PART * few):
            passed, squares = _examine(self.gram, self.rule, part)
            self.budget.tested(len(part), self.gram.flops_each)
            if not passed.all():
                lefts.append(part.take(~passed))
                self.look(lefts[-1], squares[~passed])
        return Cells.joined(lefts)

    def look(self, cells: Cells, squares: Tensor) -> None:
        """Ascend from cells that are worth it, and aim at the best value."""
        if self.peaks:
            cells, squares = self.closer(cells, squares)
        places = worth(self.rule, cells, squares, self.peaks)
        ascend(self.symbol, self.rule, cells, places, self.peaks)
        self.rule = self.rule.aimed(self.peaks[0].value)

    def closer(self, cells: Cells, squares: Tensor) -> tuple[Cells, Tensor]:
        """The most promising cells away from peaks, and their squares more closely."""
        far = torch.ones(len(cells), dtype=torch.bool)
        for peak in self.peaks:
            near = peak.away(cells.centres) <= max(cells.spans)
            far &= ~near | (cells.groups != peak.group)
        some = far.nonzero()[:, 0] if bool(far.any()) else torch.arange(len(cells))
        some = some[self.rule.order(squares[some])[:CLOSER]]
        few = cells.take(some)
        matrices = self.gram.at(few.groups, few.centres, single=self.rule.largest)
        return few, self.rule.squares(matrices, close=True).to(squares)

    def refined(self) -> Peak:
        """The best peak found, climbed to where rounding ends it."""
        return refined(self.symbol, self.rule, self.peaks[0])


def _parts(cells: Cells, few: int) -> list[Cells]:
    """All cells in one part, or a sample of them first where they are many."""
    stride = len(cells) // few
    if stride < 2:
        return [cells]
    first = torch.zeros(len(cells), dtype=torch.bool)
    first[::stride] = True
    return [cells.take(first), cells.take(~first)]


def _is_little(cells: Cells, side: int) -> bool:
    """Whether one thread tests so few cells more quickly than several would."""
    return side <= ONE_THREAD_SIDE and len(cells) * side**3 <= ONE_THREAD_WORK


def _examine(
    gram: Gram, rule: Rule, cells: Cells, test: bool = True, look: bool = True
) -> tuple[Tensor, Tensor]:
    """Which cells pass, and about which square the centres of the others have.

    Args:
        gram: The Gram polynomial.
        rule: What to prove.
        cells: Of which.
        test: Whether to test them; otherwise none passes, and squares are close.
        look: Whether the squares are asked for.
    """
    size = min(CHUNK_BYTES // gram.bytes_each, -(-len(cells) // available_cores()))
    size = max(LEAST_CHUNK, CHUNK_WORK // gram.bytes_each // gram.side, size)
    bend = gram.bend(cells.spans)
    # of the largest square single precision shows six digits, more than a look needs
    single = rule.single(gram.side, cells.reach, bend) if test else rule.largest
    passed = torch.zeros(len(cells), dtype=torch.bool)
    squares = torch.full((len(cells),), math.nan, dtype=torch.float64)

    def examine(first: int) -> None:
        some = slice(first, first + size)
        groups = cells.groups[some]
        matrices = gram.at(groups, cells.centres[some], single=single)
        if test:
            passed[some] = rule.holds(
                matrices, gram.error[groups], cells.reach, bend[groups]
            )
        failed = ~passed[some]
        if look and failed.any():
            squares[some][failed] = rule.squares(matrices[failed], close=not test).to(
                squares
            )

    parallel_map(examine, range(0, len(cells), size))
    return passed, squares


def _weaker_target(gram: Gram, rule: Rule, cells: Cells) -> float:
    """The bound that is proven if the cells that are left are not split any more.

    Cells that pass are done with; at the first that do not, the bound is weakened.
    """
    if not len(cells):  # none was tested
        return math.inf if rule.largest else 0.0
    bend = float(gram.bend(cells.spans).max())
    size = available_cores() * max(LEAST_CHUNK, CHUNK_BYTES // gram.bytes_each)
    for slack in SLACKS:
        weaker = rule.weaker(cells.reach, bend, slack)
        if weaker.target == 0:
            break
        while len(cells):
            passed, _ = _examine(gram, weaker, cells.take(slice(0, size)), look=False)
            rest = cells.take(slice(size, None))
            if not passed.all():
                failed = cells.take(slice(0, size)).take(~passed)
                cells = Cells.joined([failed, rest])
                break
            cells = rest
        if not len(cells):
            return weaker.target
    return math.inf if rule.largest else 0.0
