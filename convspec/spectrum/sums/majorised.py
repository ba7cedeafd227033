"""What sequences that a spectrum majorises say of it.

Sequences are values with counts, which need not be integers: step functions. A spectrum
*majorises* one if its partial sums are at least as large. So it does with counts rounded
up and values rounded down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from convspec.arrays import FloatArray
from convspec.quantity.enclosure import Enclosure
from convspec.quantity.outward import EPS, prefix_sums
from convspec.rounding import down, up

__all__ = ["Steps", "effective_rank_above", "effective_rank_below"]


@dataclass(frozen=True)
class Steps:
    """Values >= 0, each counted so often.

    Attributes:
        values: Descending; (n,).
        counts: Positive; (n,).
    """

    values: FloatArray
    counts: FloatArray

    @classmethod
    def of(cls, values: FloatArray, counts: FloatArray) -> Steps:
        """Sort them."""
        order = np.argsort(-values, kind="stable")
        return cls(values[order], counts[order])

    @property
    def slack(self) -> float:
        """What a sum of n products of rounded numbers >= 0 is off by, relative."""
        return 2 * (len(self.values) + 16) * EPS

    def total(self, side: int) -> float:
        """The sum, rounded up (side 1) or down (-1)."""
        found = float((self.values * self.counts).sum())
        return max(0.0, found * (1 + side * self.slack))

    def power(self, p: float) -> Steps:
        """The values to the power p, within some units."""
        return Steps(self.values**p, self.counts)

    def flattest(self, room: float, total: float) -> Steps:
        """The flattest descending sequence of this ``total`` that majorises this one.

        That is ``max(value, c)`` on so much ``room``. Any sequence of this length and sum
        that majorises this one majorises that as well: it agrees with this one as long as
        values exceed c, and from there its partial sums grow linearly, to the same total,
        while those of a descending sequence are concave.

        With S and N the sum and number of the first i values, ``S + c (room - N)`` is at
        most the sum of ``max(value, c)``, so that ``c <= (total - S) / (room - N)`` for
        all i: the least of these is c, and any of them are a bound above it.

        Args:
            room: Length of the spectrum; what is beyond it is cut off.
            total: At least the sum of the spectrum.
        """
        numbers = prefix_sums(self.counts)
        sums = prefix_sums(self.values * self.counts)
        left = room * (1 + self.slack) - numbers
        some = left > (1e-9 + 4 * self.slack) * room
        rest = total - sums[some] + self.slack * (total + sums[some])
        least = left[some] - 2 * self.slack * room
        level = float((rest.clip(min=0.0) / least).min()) * (1 + 8 * EPS)
        inside = numbers[:-1] < room
        values = np.maximum(self.values[inside], level)
        counts = np.minimum(self.counts[inside], room - numbers[:-1][inside])
        spare = room - min(room, float(numbers[-1]))
        if spare > 0:
            values, counts = np.append(values, level), np.append(counts, spare)
        return Steps(values, counts)

    def log_sum_above(self) -> float:
        """At least ``sum ln value``; -inf with a zero among them."""
        if not self.values.all():
            return -math.inf
        terms = self.counts * np.log(self.values)
        off = 2 * self.slack * float(np.abs(terms).sum() + self.counts.sum())
        return up(float(terms.sum()) + off)


def effective_rank_above(minorant: Steps, room: float, nuclear: float) -> float:
    """At least the effective rank of a spectrum that majorises ``minorant``.

    Entropy is Schur-concave, so that it is at most that of the flattest sequence of the
    same sum; and that grows with the sum, as c is the least of its values: the derivative
    is a positive multiple of ``sum p_i ln(tau_i / c)``, p_i the share of value tau_i.

    Args:
        minorant: ell, rounded down.
        room: The number of singular values that may be positive.
        nuclear: At least their sum.
    """
    flat = minorant.flattest(room, nuclear)
    top = float(flat.values[0])
    if not top:
        return room
    live = flat.values > 0
    share, counts = flat.values[live] / top, flat.counts[live]
    total = float((share * counts).sum())
    logs = float((share * np.log(share) * counts).sum())  # of terms <= 0
    error = 4 * flat.slack * (1 + abs(math.log(total)) - logs / total)
    found = math.exp(math.log(total) - logs / total + error) * (1 + 16 * EPS)
    return min(room, found)


def effective_rank_below(majorant: Steps, nuclear: float, squares: Enclosure) -> float:
    """At most the effective rank, given ``sum f(sigma^2) <= sum f(mu)`` for concave f.

    For any s > 0, ``sigma (ln(sigma / s) + 1) <= phi(sigma^2)`` with phi the least
    concave function from 0 that does that: ``x / s`` up to ``sqrt x = s``, and
    ``sqrt x (ln(sqrt x / s) + 1)`` beyond. So with ``Phi = sum phi(mu)`` and S = sum
    sigma the entropy ``ln S - sum sigma ln sigma / S`` is at least

        ln S + 1 - ln s - Phi / S,

    which grows with S. As s grows this becomes ``ln(S^2 / ||A||_F^2)``.

    Args:
        majorant: mu, rounded up.
        nuclear: At most S, positive.
        squares: Of ``||A||_F^2``.
    """
    roots = np.sqrt(majorant.values) * (1 + 4 * EPS)
    best = nuclear / math.sqrt(squares.upper)
    found = best * best * (1 - 16 * EPS)
    knee = _best_knee(roots, majorant.counts, nuclear)
    high = roots > knee
    terms = np.where(high, roots, roots * (roots / knee))
    terms[high] *= np.log(roots[high] / knee) + 1
    total = float((terms * majorant.counts).sum()) * (1 + 2 * majorant.slack)
    parts = (math.log(nuclear), 1.0, -math.log(knee), -up(total / nuclear, 2))
    error = 16 * EPS * sum(map(abs, parts))
    entropy = sum(parts) - error
    return max(1.0, found, down(math.exp(entropy) * (1 - 16 * EPS)))


def _best_knee(roots: FloatArray, counts: FloatArray, nuclear: float) -> float:
    """The s with the best bound, about: any will do."""
    order = np.argsort(-roots)
    values, counts = roots[order], counts[order]
    logs = values * np.log(np.where(values > 0, values, 1.0))
    sums, squares = prefix_sums(values * counts), prefix_sums(values**2 * counts)
    weighted = prefix_sums(logs * counts)
    top = float(values[0])
    knees = np.geomspace(1e-3 * top, 2 * top, 400)
    first = len(values) - np.searchsorted(values[::-1], knees, side="right")
    high = weighted[first] + sums[first] * (1 - np.log(knees))
    whole = high + (squares[-1] - squares[first]) / knees
    return float(knees[(1 - np.log(knees) - whole / nuclear).argmax()])
