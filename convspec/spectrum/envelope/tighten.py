"""Working what is known into a band: other bounds, the Frobenius norm, the order."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from convspec.arrays import FloatArray
from convspec.quantity.enclosure import Enclosure
from convspec.quantity.outward import scaled
from convspec.spectrum.envelope.frobenius import frobenius_bounds

__all__ = ["Bounds", "Sources", "tighter"]

Sources = npt.NDArray[np.int8]
# bounds on each value, and for each the place of its source
Bounds = tuple[FloatArray, Sources]


def tighter(
    lower: Bounds,
    upper: Bounds,
    given: tuple[FloatArray, FloatArray],
    given_source: int,
    norm: Enclosure,
    norm_source: int,
) -> tuple[Bounds, Bounds]:
    """A band with bounds on its leading values worked in, and ``||A||_F``; read-only.

    Args:
        lower: Lower bounds; (n,).
        upper: Upper bounds; (n,).
        given: Lower and upper bounds on the first values; at most (n,) each.
        given_source: Their source.
        norm: Enclosure of ``||A||_F``.
        norm_source: Its source.
    """
    low = _better(lower, given[0], given_source, -1)
    high = _better(upper, given[1], given_source, 1)
    if math.isfinite(norm.upper):
        exponent = math.frexp(norm.upper)[1]
        near_one = Enclosure(*(math.ldexp(end, -exponent) for end in norm))
        found = frobenius_bounds(
            scaled(low[0], -exponent, 0.0),
            scaled(high[0], -exponent, math.inf),
            near_one.squared,
        )
        low = _better(low, scaled(found[0], exponent, 0.0), norm_source, -1)
        high = _better(high, scaled(found[1], exponent, math.inf), norm_source, 1)
    for bounds, _ in (low, high):
        bounds.setflags(write=False)
    return low, high


def _better(bounds: Bounds, more: FloatArray, source: int, side: int) -> Bounds:
    """The better of both on the first values, in descending order throughout."""
    values, sources = bounds[0].copy(), bounds[1].copy()
    first = values[: len(more)]
    better = more > first if side < 0 else more < first
    first[better], sources[: len(more)][better] = more[better], source
    if side > 0:
        return np.minimum.accumulate(values), sources
    return np.maximum.accumulate(values[::-1])[::-1].copy(), sources
