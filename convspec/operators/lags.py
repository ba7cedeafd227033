"""Integer vectors q in sums ``sum_q C_q exp(i <q, w>)``, and their differences."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from convspec.arrays import IntArray

__all__ = ["LagPairs", "leading_sign", "most_differences"]


@dataclass(frozen=True)
class LagPairs:
    """One of each two differences {q, -q} of lags, and the pairs of lags that make it.

    Of q and -q it is the one whose last number that is not 0 is positive: where lags are
    sorted with the last axis first, that of a later lag less an earlier one.

    Attributes:
        order: The places of the lags in this order; (n,).
        lags: The differences q in the same order, 0 first; (j, d).
        places: Which q the t-th lag less the p-th is, in this order; -1 for t < p, whose
            difference is a -q; (n, n), [t, p].
    """

    order: IntArray
    lags: IntArray
    places: IntArray

    @classmethod
    def of(cls, lags: IntArray) -> LagPairs:
        """The pairs of distinct lags, (n, d).

        >>> pairs = LagPairs.of(np.array([[0], [2]]))
        >>> pairs.lags.ravel().tolist(), pairs.places.tolist()
        ([0, 2], [[0, -1], [1, 0]])
        """
        order = np.lexsort(lags.T)
        later, sooner = np.tril_indices(len(lags))
        difference = lags[order[later]] - lags[order[sooner]]
        low, high = difference.min(axis=0), difference.max(axis=0)
        sizes = tuple(high - low + 1)[::-1]
        flat = np.ravel_multi_index(tuple((difference - low).T[::-1]), sizes)
        found, which = np.unique(flat, return_inverse=True)
        each = np.stack(np.unravel_index(found, sizes)[::-1], axis=1) + low
        places = np.full((len(lags), len(lags)), -1, dtype=np.int64)
        places[later, sooner] = which.reshape(-1)
        return cls(order, each, places)


def most_differences(lags: IntArray) -> int:
    """How many differences :class:`LagPairs` has at most, known without making them."""
    extent = lags.max(axis=0) - lags.min(axis=0)
    box = math.prod(2 * int(width) + 1 for width in extent) // 2
    return 1 + min(box, len(lags) * (len(lags) - 1) // 2)


def leading_sign(rows: IntArray) -> IntArray:
    """The sign of the first number of each row that is not 0; 0 for rows of zeros.

    >>> leading_sign(np.array([[0, -3], [2, -1], [0, 0]])).tolist()
    [-1, 1, 0]
    """
    sign = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:
        sign = np.where(sign == 0, np.sign(column), sign)
    return sign
