"""All singular values of a direct sum, by dense SVDs of the summands that differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convspec.arrays import FloatArray
from convspec.operators.direct_sum import Summand
from convspec.spectrum.dense import dense_bytes, dense_flops, group_values

__all__ = ["sum_bytes", "sum_flops", "sum_values"]


def sum_values(parts: Sequence[Summand]) -> tuple[FloatArray, float]:
    """Singular values of each group, (groups, l), and a bound on the error of each.

    Those of a direct sum are the union; its i-th value moves by no more than the value
    of a summand that moves most (Weyl).

    Args:
        parts: With the same groups.
    """
    found, error = [], 0.0
    for part in parts:
        values, off = group_values(part.reduced)
        error = max(error, part.reduced.error(float(values.max()), off))
        scaled = np.multiply.outer(values, part.reduced.scales).reshape(len(values), -1)
        found.append(np.repeat(scaled, part.times, axis=1))
    return np.concatenate(found, axis=1), error


def sum_bytes(parts: Sequence[Summand]) -> int:
    """Bytes of the largest block, the least that dense SVDs must hold."""
    return max((dense_bytes(part.reduced) for part in parts), default=0)


def sum_flops(parts: Sequence[Summand]) -> float:
    """Estimated operations of one SVD of each summand that differs."""
    return sum(dense_flops(part.reduced) for part in parts)
