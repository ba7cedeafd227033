"""Quantities of a layer that need no single value: sums over all, and estimates."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from convspec.errors import TooLargeError
from convspec.operators.operator import ConvOperator
from convspec.operators.shape_rank import shape_rank
from convspec.quantity.enclosure import Enclosure
from convspec.report.limits import Limits
from convspec.rounding import down_nonnegative, up
from convspec.run.budget import Budget
from convspec.spectrum.envelope.frobenius import certified_frobenius
from convspec.spectrum.sums.fourth import fourth_flops, schatten_4
from convspec.spectrum.sums.majorisation import sums

__all__ = ["certified_sums", "grid_sums", "other_sums", "ranks"]

EPS = float(np.finfo(np.float64).eps)


# of the operations on an envelope: as many more on sums, which are decompositions of
# small blocks, too
SUMS_SHARE = 0.75
# wide ones are decomposed in single precision, with more operations a second
WIDE, WIDE_SPEED = 512, 3.0


def other_sums(
    op: ConvOperator, _: Budget, norm_upper: float, limits: Limits
) -> dict[str, Enclosure]:
    """What sums over all values say: to rounding, or from a grid of the symbol.

    Args:
        op: The operator.
        norm_upper: At least its norm.
        limits: Of the analysis.
    """
    flops, held = limits.envelope_flops, limits.max_bytes
    share = SUMS_SHARE * (WIDE_SPEED if min(op.weight.shape[:2]) >= WIDE else 1.0)
    certified = certified_sums(op, flops, held)
    return {**certified, **grid_sums(op, norm_upper, share * flops, held)}


def certified_sums(
    op: ConvOperator, max_flops: float, max_bytes: int
) -> dict[str, Enclosure]:
    """The Schatten 4-norm and the participation ratio, to rounding.

    ``(sum sigma^2)^2 / sum sigma^4 = (||A||_F / ||A||_(S_4))^4``. Nothing where it takes
    too many operations or bytes, or where a norm is 0 or beyond float64.
    """
    if fourth_flops(op) > max_flops:
        return {}
    try:
        fourth = schatten_4(op, max_bytes=max_bytes)
    except TooLargeError:
        return {}
    frobenius = certified_frobenius(op)
    if not (0 < fourth.lower <= fourth.upper < math.inf and frobenius.upper < math.inf):
        return {}
    ratio = (frobenius / fourth).squared.squared
    values = float(min(op.shape))
    return {
        "schatten_4": fourth,
        "participation_ratio": ratio & Enclosure(1.0, values),
    }


def grid_sums(
    op: ConvOperator, norm_upper: float, max_flops: float, max_bytes: int
) -> dict[str, Enclosure]:
    """Nuclear norm, effective rank and log volume from a grid of the symbol.

    Nothing where the coarsest grid is too dear, or padding repeats pixels.
    """
    if not 0 < norm_upper < math.inf:
        return {}
    found = sums(op, max_flops=max_flops, max_bytes=max_bytes, norm_upper=norm_upper)
    if found is None:
        return {}
    return {
        "nuclear_norm": found.nuclear_norm,
        "effective_rank": found.effective_rank,
        "log_volume": found.log_volume,
    }


def ranks(
    op: ConvOperator, norm: Enclosure, known: Mapping[str, Enclosure]
) -> dict[str, Enclosure]:
    """Stable and numerical rank and nullity, from sums alone.

    With r values above ``t = max(m, n) eps sigma_1`` and N in all, ``||A||_* - N t`` is
    at most the sum of these, which is at most ``sqrt(r) ||A||_F`` by Cauchy and Schwarz;
    and ``||A||_F^2 - N t^2`` is at most ``sqrt(r) (sum sigma^4)^(1/2)``.
    """
    frobenius, count, most = certified_frobenius(op), min(op.shape), shape_rank(op)
    if not 0 < norm.upper < math.inf or not frobenius.lower > 0:
        return {}
    stable = (frobenius / norm).squared & Enclosure(1.0, float(count))
    level = up(max(op.shape) * EPS * norm.upper)
    fourth, nuclear = known.get("schatten_4"), known.get("nuclear_norm")
    least = 1.0
    if fourth is not None:
        small = up(up(math.sqrt(count)) * level)
        left = down_nonnegative((frobenius.lower - small) / fourth.upper, 2)
        right = down_nonnegative((frobenius.lower + small) / fourth.upper, 2)
        least = max(least, (max(0.0, left) * right) ** 2)
    if nuclear is not None:
        left = down_nonnegative((nuclear.lower - up(count * level)) / frobenius.upper, 2)
        least = max(least, left**2)
    rank = Enclosure(min(most, math.ceil(least * (1 - 16 * EPS))), most)
    columns = op.shape[1]
    nullity = Enclosure(columns - rank.upper, columns - rank.lower)
    return {"stable_rank": stable, "rank": rank, "nullity": nullity}
