"""Pairs of inputs judged in float64: their ratio, and what its evaluation rounded.

Lengths, differences and the quotient are rounded to the safe side by proof. What the
model rounds inside is estimated in two ways, as its code is not known, and both
estimates, enlarged, are taken off:

* the float32 evaluation of the same code is off by what its operations round; those of
  float64 round 2^-29 times as much (first-order error analysis; Higham, Accuracy and
  Stability of Numerical Algorithms, 2nd ed., chapter 3). It says too little where float32
  loses all digits;
* along a line, high differences of close values are rounding, whatever smooth function
  the values are of: ``sigma_k^2 = (k!)^2 / (2 k)! mean (Delta^k f)^2`` (More and Wild,
  Estimating computational noise, SIAM J. Sci. Comput. 33, 2011). It says too little where
  roundings of close values are the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convspec.errors import UnreadableModel
from convspec.network.domain import Domain
from convspec.network.evaluated import ImageMap, length
from convspec.rounding.directed import UNIT, down_nonnegative, gamma, up
from convspec.run.budget import Budget

__all__ = ["Judge", "Trial"]

# separations tried, in parts of |x|
SEPARATIONS = (10.0, 1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
# lower ends as equal as this count as equal, and inputs farther apart are preferred
SAME = 1e-9
# what float64 rounds, in parts of what float32 rounds
FINER = 2.0**-29
# by which the estimates are enlarged
SAFETY = 16.0
# values on a line, and their distances in parts of |x - y|
VALUES = 7
DISTANCES = (1e-9, 1e-7, 1e-5, 1e-3, 0.1, 10.0)


class _At(NamedTuple):
    """An image, its outputs, and how far they are off, by the first estimate."""

    x: Tensor
    value: Tensor
    error: float


@dataclass(frozen=True, eq=False)
class Trial:
    """Two inputs, ``apart = |x - y|``, the ratio in float64, and a lower end of it."""

    words: str
    x: Tensor
    y: Tensor
    apart: float
    ratio: float
    lower: float


class Judge:
    """A model in float64, and in float32 to see what the evaluation rounds."""

    def __init__(
        self, model: nn.Module, shape: tuple[int, ...], domain: Domain | None = None
    ) -> None:
        cpu = torch.device("cpu")
        self._exact = ImageMap(model, shape, torch.float64, cpu, domain)
        self._coarse = ImageMap(model, shape, torch.float32, cpu)

    @torch.no_grad()
    def between(self, words: str, x: Tensor, y: Tensor) -> Trial:
        """The ratio of two images."""
        return _trial(words, self._at(x), self._at(y))

    @torch.no_grad()
    def along(self, words: str, x: Tensor, v: Tensor) -> Iterator[Trial]:
        """Ratios of pairs at x in direction v, of both signs, close and far apart."""
        x, v = self._exact.image(x), self._exact.image(v)
        middle = self._at(x)
        size = length(x) or math.sqrt(x.numel())
        for part in SEPARATIONS:
            far = f"{words}, at {part:g} |x| along the first singular vector"
            above, below = (self._at(x + sign * part * size * v) for sign in (1, -1))
            for pair in ((middle, above), (middle, below), (below, above)):
                yield _trial(far, *pair)

    @torch.no_grad()
    def best(self, trials: Sequence[Trial], budget: Budget) -> tuple[Trial, float]:
        """The pair with the largest lower end, and that by both estimates.

        The second estimate takes a hundred runs for a pair; once seconds are spent the
        best of the pairs that had it is taken.

        Raises:
            UnreadableModel: If no ratio is finite, or outputs are not a function of the
                input.
        """
        usable = [each for each in trials if math.isfinite(each.ratio) and each.apart > 0]
        if not usable:
            raise UnreadableModel(
                "the model must give finite outputs in float64; no pair of images that "
                "was found has a finite ratio; pass images of its domain as starts="
            )
        found: tuple[Trial, float] | None = None
        while usable and (found is None or found[1] < (1 - SAME) * _most(usable)):
            if found is not None and found[1] > 0 and not budget.allows():
                break
            next_ = _preferred(usable)
            usable.remove(next_)
            lower = self._lower(next_)
            if found is None or lower > found[1]:
                found = next_, lower
        assert found is not None
        return found

    def _lower(self, trial: Trial) -> float:
        """The ratio less what was rounded, by both estimates."""
        ends = self._at(trial.x), self._at(trial.y)
        if not torch.equal(ends[0].value, self._exact(trial.x)):
            raise UnreadableModel(
                "the model must give one output for one input; two runs on the same "
                "image differ; take what is random out of its evaluation mode"
            )
        noise = self._noise(*ends) + self._noise(*ends[::-1])
        return _lower(*ends, SAFETY * noise)

    def _at(self, x: Tensor) -> _At:
        x = self._exact.inside(self._exact.image(x))
        value = self._exact(x)
        size = length(value)
        try:
            seen = length(self._coarse(self._coarse.image(x)).double() - value)
        except UnreadableModel:  # with numbers of float64 in its code
            seen = math.inf
        seen = seen if math.isfinite(seen) else size  # beyond float32
        return _At(x, value, SAFETY * (FINER * seen + UNIT * size))

    def _noise(self, x: _At, y: _At) -> float:
        """What evaluations near x round, from high differences towards y."""
        varies = x.value != y.value
        varies |= (self._line(x, y, self._distances[-1]).diff(dim=0) != 0).any(dim=0)
        jump = torch.full_like(x.value[varies], math.inf)
        for part in self._distances:
            table = self._line(x, y, part)[:, varies]
            steps = table.diff(dim=0).abs()
            jump = torch.minimum(jump, steps.where(steps > 0, math.inf).amin(dim=0))
            # as long as most are equal, their roundings are the same
            if int(torch.count_nonzero(steps)) > steps.numel() / 2:
                break
        noise = max(_deviation(table, order) for order in range(2, VALUES))
        if part == self._distances[0]:
            return noise
        # values are multiples of something that is no more than a jump
        return max(noise, length(jump.where(jump < math.inf, 0.0)))

    @property
    def _distances(self) -> tuple[float, ...]:
        """Those that stay between two images, where there is a domain."""
        whole = self._exact.ends is None
        return DISTANCES if whole else tuple(d for d in DISTANCES if VALUES * d <= 1)

    def _line(self, x: _At, y: _At, part: float) -> Tensor:
        """Outputs at equal distances from x towards y, as rows."""
        line = [x.x + (number * part) * (y.x - x.x) for number in range(VALUES)]
        return torch.stack([self._exact(point) for point in line])


def _deviation(table: Tensor, order: int) -> float:
    """The standard deviation of all outputs together; the values are the rows."""
    differences = table.diff(n=order, dim=0)
    variance = math.factorial(order) ** 2 / math.factorial(2 * order)
    return length(differences) * math.sqrt(variance / len(differences))


def _most(trials: Sequence[Trial]) -> float:
    return max(each.lower for each in trials)


def _preferred(trials: Sequence[Trial]) -> Trial:
    """Of the largest lower ends the one whose inputs are farthest apart."""
    enough = (1 - SAME) * _most(trials)
    near = [each for each in trials if each.lower >= enough]
    return max(near, key=lambda each: each.apart)


def _trial(words: str, x: _At, y: _At) -> Trial:
    apart = length(x.x - y.x)
    ratio = length(x.value - y.value) / apart if apart > 0 else 0.0
    lower = _lower(x, y) if math.isfinite(ratio) else 0.0
    return Trial(words, x.x, y.x, apart, ratio, lower)


def _lower(x: _At, y: _At, noise: float = 0.0) -> float:
    """``(|f(x) - f(y)| - errors) / |x - y|``, rounded down."""
    # per length: a difference, the quotients by the largest, squares, a sum, a root
    moved = length(x.value - y.value) * (1 - gamma(len(x.value) + 8))
    apart = up(length(x.x - y.x) * up(1 + gamma(x.x.numel() + 8)))
    rest = down_nonnegative(moved - up(x.error + y.error + noise, 4), 4)
    return down_nonnegative(rest / apart) if apart > 0 else 0.0
