"""Bounds on the effective rank, ``exp(H(p))`` with ``p_i = sigma_i / sum sigma``.

With ``Z = sum sigma_i``, ``Z H = Z ln Z - sum sigma_i ln sigma_i`` is concave and grows
in proportion to sigma, so that ``{H >= c}`` is convex: H is quasi-concave.

Below: for a given Z, H is Schur-concave, hence least at the most concentrated sigma, U
from the front and L from the back. As Z grows these run along line segments between the
vectors ``v_j = (U_1, ..., U_j, L_{j+1}, ...)``, and on a segment a quasi-concave function
is least at an end: H is at least its least value at the v_j around the known range of Z.

Above: by Gibbs' inequality ``H(p) <= sum p_i w_i`` with ``w_i = -ln q_i`` for every
distribution q, and ``sum sigma_i (w_i - h) <= 0`` for all sigma of the band proves
``H <= h``. With q from sigma clipped to the level where H is largest this is sharp.
"""

from __future__ import annotations

import math

import numpy as np

from convspec.arrays import FloatArray
from convspec.quantity.enclosure import Enclosure
from convspec.quantity.outward import EPS, prefix_sums

__all__ = ["effective_rank_above", "effective_rank_below"]

# values this far below the largest count for nothing
TINY = 1e-300


def effective_rank_below(
    lower: FloatArray, upper: FloatArray, nuclear: Enclosure
) -> float:
    """A lower bound on the effective rank within a band.

    Args:
        lower: Descending; (n,).
        upper: Descending, finite, the first above 0; (n,).
        nuclear: Enclosure of ``sum sigma_i``.
    """
    low, high, exponent = _scaled_down(lower, upper)
    sums = prefix_sums(high) + prefix_sums(low[::-1])[::-1]
    logs = prefix_sums(_times_log(high)) + prefix_sums(_times_log(low[::-1]))[::-1]
    sums = np.maximum.accumulate(sums)
    slack = 4 * (len(low) + 8) * EPS * sums[-1]
    with np.errstate(over="ignore", under="ignore"):
        ends = np.ldexp(np.array(nuclear), -exponent)
    first = int(np.searchsorted(sums, ends[0] - slack, side="right")) - 1
    last = int(np.searchsorted(sums, ends[1] + slack, side="left"))
    part = slice(max(first, 0), last + 1)
    if not sums[part][0] > slack:
        return 1.0  # one value and zeros
    entropy = np.log(sums[part]) - logs[part] / sums[part]
    # logs is a sum of terms <= 0, so that its error is relative too
    error = 8 * (len(low) + 16) * EPS * (1 - logs[part] / sums[part])
    return max(1.0, math.exp(float((entropy - error).min())) * (1 - 8 * EPS))


def effective_rank_above(lower: FloatArray, upper: FloatArray) -> float:
    """An upper bound on the effective rank within a band, arguments as above."""
    live = upper > 0
    low, high, _ = _scaled_down(lower[live], upper[live])
    level = _best_level(low, high)
    share = np.clip(level, low, high).clip(min=TINY)
    share = share / share.sum()
    # share may add up to a little more than 1; Gibbs' inequality holds of share / sum
    weights = math.log1p(4 * (len(low) + 8) * EPS) - np.log(share)
    entropy, step = float((share * weights).sum()), 8 * (len(low) + 128) * EPS
    while entropy < math.log(len(low)) and not _proves(entropy, weights, low, high):
        entropy, step = entropy + step, 2 * step
    return min(math.exp(entropy) * (1 + 8 * EPS), float(len(low)))


def _proves(
    entropy: float, weights: FloatArray, low: FloatArray, high: FloatArray
) -> bool:
    """Whether ``sum sigma_i (w_i - h) <= 0`` in all of the band, rounding included."""
    excess = weights - entropy
    terms = np.where(excess > 0, excess * high, excess * low)
    rounding = 4 * (len(low) + 8) * EPS * float(np.abs(terms).sum())
    rounding += 16 * EPS * float(((np.abs(weights) + entropy + 1) * high).sum())
    return float(terms.sum()) + rounding <= 0


def _best_level(low: FloatArray, high: FloatArray) -> float:
    """The level t at which clipping gives the largest H: ln t is the mean of ln sigma.

    H grows with a value below ``exp(sum p_i ln sigma_i)`` and falls with one above.
    """
    below, above = prefix_sums(low), prefix_sums(high[::-1])[::-1]
    below_logs = prefix_sums(_times_log(low))
    above_logs = prefix_sums(_times_log(high[::-1]))[::-1]
    bottom, top = max(float(high[-1]), TINY) / 2, float(high[0])
    for _ in range(60):
        level = math.sqrt(bottom * top)
        first = len(low) - int(np.searchsorted(low[::-1], level, side="right"))
        last = len(low) - int(np.searchsorted(high[::-1], level, side="left"))
        between = (last - first) * level
        total = below[first] + between + above[last]
        logs = below_logs[first] + between * math.log(level) + above_logs[last]
        if math.log(level) < logs / total:
            bottom = level
        else:
            top = level
    return math.sqrt(bottom * top)


def _scaled_down(
    lower: FloatArray, upper: FloatArray
) -> tuple[FloatArray, FloatArray, int]:
    """The band over ``2^exponent``, its values at most 1, and the exponent."""
    exponent = math.frexp(float(upper[0]))[1]
    with np.errstate(under="ignore"):
        return np.ldexp(lower, -exponent), np.ldexp(upper, -exponent), exponent


def _times_log(values: FloatArray) -> FloatArray:
    """``x ln x``, 0 at 0."""
    found: FloatArray = values * np.log(np.where(values > 0, values, 1.0))
    return found
