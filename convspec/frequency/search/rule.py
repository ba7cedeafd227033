"""When a cell of frequencies cannot hold the extreme: one test at its centre.

Let M be the largest sigma_1 over all frequencies, at w*, with ``M = u^H F(w*) v``.
Along a straight line ``Re u^H F v`` is a real function of exponential type n at most M
in size that takes the value M, so at distance x it is still at least ``M cos(n x)``
(Bernstein, Szego; Duffin and Schaeffer, Bull. AMS 44, 1938). So if w* lies in a cell of
reach rho around c, then ``sigma_1(F(c)) >= M cos(rho)``, and a cell with

    sigma_1(F(c)) <= T cos(rho)

can only hold w* if ``M <= T``. When no cell is left, ``M <= T`` is proven.

Let m be the least sigma_n, at w*, and v its vector. ``q = ||F v||^2`` lies between m^2
and M^2 and has its minimum m^2 at w*; the same theorem for ``(q - m^2) / (M^2 - m^2)``
gives ``sigma_n(F(c))^2 <= m^2 cos(rho)^2 + M^2 sin(rho)^2``. So a cell with

    sigma_n(F(c))^2 >= T^2 cos(rho)^2 + M^2 sin(rho)^2

can only hold w* if ``m >= T``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from convspec.frequency.gram import Gram
from convspec.krylov.estimates import largest_estimates, smallest_estimates
from convspec.rounding.definite import at_least, at_most, cholesky_error
from convspec.rounding.directed import UNIT, down, up
from convspec.rounding.norms import above, below, frobenius_above
from convspec.rounding.single import at_most_single, single_error, single_room

__all__ = ["ProveLargest", "ProveSmallest", "Rule"]

# cosines and sines of the C library are good to a unit in the last place; we allow 8
LIBM = 8
# how much of the room that the distance to the centre leaves single precision may take
SINGLE_SHARE = 0.25
# targets leave this much of the gap to the rounding of its ends
INSIDE = 0.999
# Krylov dimensions of estimates: to tell cells apart, and to tell which of them fail,
# for which the edge of a random layer's spectrum needs more
ROUGH, CLOSE = 8, 24


class Rule(Protocol):
    """What a search is to prove of an extreme, and when a cell cannot hold it."""

    @property
    def largest(self) -> bool:
        """Whether it is the largest value over all frequencies that is bounded."""

    @property
    def rtol(self) -> float:
        """How far the target is from the best value found."""

    @property
    def target(self) -> float:
        """T, the bound that is to be proven."""

    def aimed(self, value: float) -> Rule:
        """The rule whose target is just beyond the best value found."""

    def single(self, side: int, reach: float, bend: Tensor) -> bool:
        """Whether tests in single precision serve for such cells."""

    def holds(self, gram: Tensor, error: Tensor, reach: float, bend: Tensor) -> Tensor:
        """Which of the centres' matrices pass, see :meth:`ProveLargest.holds`."""

    def squares(self, gram: Tensor, *, close: bool = False) -> Tensor:
        """About the extreme eigenvalue of each matrix, not beyond it."""

    def order(self, squares: Tensor) -> Tensor:
        """The places of the most promising squares, best first."""

    def better(self, value: float, than: float) -> bool:
        """Whether a value is nearer to the extreme."""

    def fails(self, squares: Tensor, reach: float, bend: float) -> Tensor:
        """About which of the centres fail, by their squares."""

    def must_improve(self, value: float, reach: float) -> bool:
        """Whether a cell can fail only because its centre beats the best value found."""

    def weaker(self, reach: float, bend: float, slack: float) -> Rule:
        """The rule that a cell passes if its centre's value is within slack of T."""


@dataclass(frozen=True)
class ProveLargest:
    """Proves ``sup sigma_1 <= target``.

    Attributes:
        rtol: How far the target is from the best value found.
        relative: What a Cholesky test needs to succeed, relative to its level.
        absolute: What the error of the Gram matrices adds to that.
        target: T.
    """

    rtol: float
    relative: float
    absolute: float
    target: float = 0.0
    largest = True

    @classmethod
    def of(cls, gram: Gram, rtol: float) -> ProveLargest:
        """The rule for matrices of this polynomial, with no target yet."""
        return cls(rtol, *_needs(gram))

    def aimed(self, value: float) -> ProveLargest:
        """The rule whose target is just above the best value found."""
        slack = max(INSIDE * self.rtol, _slack(self.relative, self.absolute, value))
        return replace(self, target=up(value * (1 + slack)))

    def single(self, side: int, reach: float, bend: Tensor) -> bool:
        """Whether tests in single precision serve for such cells."""
        return single_room(side) <= float(self._room(self._level(reach, bend)).min())

    def _level(self, reach: float, bend: Tensor) -> Tensor:
        """Which square a centre's value must not exceed; (b,)."""
        cosine = max(0.0, down(math.cos(min(reach, math.pi)), LIBM))
        bent = below((down(self.target**2, 2) - above(bend)).clamp(min=0))
        return bent.clamp(min=down((self.target * cosine) ** 2, 4))

    def _room(self, level: Tensor) -> Tensor:
        """What tests in single precision may take, relative to their level; (b,)."""
        return SINGLE_SHARE * (1 - level / self.target**2 + 2 * self.rtol)

    def holds(self, gram: Tensor, error: Tensor, reach: float, bend: Tensor) -> Tensor:
        """Which of the centres' matrices pass.

        Args:
            gram: (b, n, n), complex128, or rounded to complex64.
            error: What they are off by; (b,).
            reach: Of the cells.
            bend: Of the cells, see ``Gram.bend``; (b,).
        """
        level = self._level(reach, bend)
        if gram.dtype == torch.complex64:
            return _holds_single(gram, level, error, self._room(level))
        # a cheap norm first, where it has a chance
        side = gram.shape[-1]
        trace = gram.diagonal(dim1=-2, dim2=-1).real.sum(-1)
        passed = trace <= math.sqrt(side) * level
        some = passed.nonzero()[:, 0]
        if len(some):
            norm = frobenius_above(gram[some])
            passed[some] = above(norm + error[some], 2 * UNIT) <= level[some]
        left = (~passed).nonzero()[:, 0]
        if len(left) and side > 1:
            passed[left] = at_most(gram[left], level[left], error[left])
        return passed

    def squares(self, gram: Tensor, *, close: bool = False) -> Tensor:
        """About the largest eigenvalue, not above it; closer to it if that is asked."""
        return largest_estimates(gram, CLOSE if close else ROUGH)

    def order(self, squares: Tensor) -> Tensor:
        """The places of the most promising squares, best first."""
        return squares.argsort(descending=True)

    def better(self, value: float, than: float) -> bool:
        """Whether a value is nearer to the extreme."""
        return value > than

    def fails(self, squares: Tensor, reach: float, bend: float) -> Tensor:
        """About which of the centres fail, by their squares."""
        level = (self.target * math.cos(min(reach, math.pi / 2))) ** 2
        return squares > max(level, self.target**2 - bend)

    def must_improve(self, value: float, reach: float) -> bool:
        """Whether a cell can fail only because its centre beats the best value found."""
        return self.target * math.cos(reach) > value

    def weaker(self, reach: float, bend: float, slack: float) -> ProveLargest:
        """The rule that a cell passes if its centre's value is within T (1 + slack)."""
        value = up(self.target * up(1 + slack))
        target = up(math.sqrt(up(up(value**2, 4) + up(bend))), 4)
        if reach < math.pi / 2:
            target = min(target, up(value / down(math.cos(reach), LIBM), 4))
        return replace(self, target=target)


@dataclass(frozen=True)
class ProveSmallest:
    """Proves ``inf sigma_n >= target``; attributes as in :class:`ProveLargest`.

    Attributes:
        norm: At least M, the supremum of sigma_1.
    """

    rtol: float
    relative: float
    absolute: float
    norm: float
    target: float = 0.0
    largest = False

    @classmethod
    def of(cls, gram: Gram, rtol: float, norm: float) -> ProveSmallest:
        """The rule for matrices of this polynomial, with no target yet."""
        relative, absolute = _needs(gram)
        return cls(rtol, 0.0, absolute + relative * norm**2, norm)

    def aimed(self, value: float) -> ProveSmallest:
        """The rule whose target is just below the best value found."""
        slack = max(INSIDE * self.rtol, _slack(self.relative, self.absolute, value))
        return replace(self, target=down(value * max(0.0, 1 - slack)))

    def single(self, side: int, reach: float, bend: Tensor) -> bool:
        """Never: the least eigenvalue is far below the norm, which rounding goes by."""
        return False

    def holds(self, gram: Tensor, error: Tensor, reach: float, bend: Tensor) -> Tensor:
        """Which of the centres' matrices pass; see :meth:`ProveLargest.holds`."""
        angle = min(reach, math.pi / 2)
        sine, cosine = up(math.sin(angle), LIBM), up(math.cos(angle), LIBM)
        least = up(up((self.target * cosine) ** 2, 4) + up((self.norm * sine) ** 2, 4))
        bent = above(bend + up(self.target**2, 2), 2 * UNIT)
        return at_least(gram, bent.clamp(max=least), error)

    def squares(self, gram: Tensor, *, close: bool = False) -> Tensor:
        """About the least eigenvalue, not below it; always as close."""
        return smallest_estimates(gram)

    def order(self, squares: Tensor) -> Tensor:
        """The places of the most promising squares, best first."""
        return squares.argsort()

    def better(self, value: float, than: float) -> bool:
        """Whether a value is nearer to the extreme."""
        return value < than

    def fails(self, squares: Tensor, reach: float, bend: float) -> Tensor:
        """About which of the centres fail, by their squares."""
        angle = min(reach, math.pi / 2)
        level = (self.target * math.cos(angle)) ** 2
        level += (self.norm * math.sin(angle)) ** 2
        return squares < min(level, self.target**2 + bend)

    def must_improve(self, value: float, reach: float) -> bool:
        """Whether a cell can fail only because its centre beats the best value found."""
        level = (self.target * math.cos(reach)) ** 2
        return level + (self.norm * math.sin(reach)) ** 2 < value**2

    def weaker(self, reach: float, bend: float, slack: float) -> ProveSmallest:
        """The rule that a cell passes if its centre's value is within T (1 - slack)."""
        square = down((self.target * max(0.0, 1 - slack)) ** 2, 4)
        target = down(math.sqrt(max(0.0, down(square - up(bend)))), 2)
        if reach < math.pi / 2:
            sine, cosine = up(math.sin(reach), LIBM), up(math.cos(reach), LIBM)
            rest = max(0.0, down(square - up((self.norm * sine) ** 2, 4)))
            target = max(target, down(math.sqrt(rest) / cosine, 4))
        return replace(self, target=max(target, 0.0))


def _holds_single(gram: Tensor, level: Tensor, error: Tensor, room: Tensor) -> Tensor:
    """Which matrices, rounded to single precision, have no eigenvalue above the level."""
    error = single_error(gram, error)
    passed, unsure = at_most_single(gram, level, error, room)
    some = unsure.nonzero()[:, 0]
    if len(some):
        matrices = gram[some].to(torch.complex128)
        passed[some] = at_most(matrices, level[some], error[some])
    return passed


def _slack(relative: float, absolute: float, value: float) -> float:
    """Relative distance of a target from a value at which tests can succeed.

    Half of this on either side: the test's own need, and that of the certified value.
    """
    return 2 * (relative + absolute / max(value**2, 1e-300)) + 64 * UNIT


def _needs(gram: Gram) -> tuple[float, float]:
    """The relative and the absolute distance from which a Cholesky test succeeds."""
    return gram.side * cholesky_error(gram.side, True), float(gram.error.max())
