"""Integer vectors q in sums ``sum_q C_q exp(i <q, w>)``, and their differences."""

from __future__ import annotations

import numpy as np

from convspec.arrays import IntArray

__all__ = ["lag_differences", "leading_sign"]


def lag_differences(lags: IntArray) -> tuple[IntArray, IntArray]:
    """The distinct differences of two lags, and which one ``lags[t] - lags[p]`` is.

    The product of two sums over the lags is one over their differences.

    Args:
        lags: (n, d).

    Returns:
        The differences in ascending order, (j, d), and places among them, (n, n), [p, t].

    >>> found, which = lag_differences(np.array([[0], [2]]))
    >>> found.ravel().tolist(), which.tolist()
    ([-2, 0, 2], [[1, 2], [0, 1]])
    """
    difference = lags[None, :, :] - lags[:, None, :]  # [p, t]
    low, high = difference.min(axis=(0, 1)), difference.max(axis=(0, 1))
    sizes = tuple(high - low + 1)
    flat = np.ravel_multi_index(tuple((difference - low).reshape(-1, len(low)).T), sizes)
    found, which = np.unique(flat, return_inverse=True)
    each = np.stack(np.unravel_index(found, sizes), axis=1) + low
    return each, which.reshape(len(lags), len(lags))


def leading_sign(rows: IntArray) -> IntArray:
    """The sign of the first number of each row that is not 0; 0 for rows of zeros.

    >>> leading_sign(np.array([[0, -3], [2, -1], [0, 0]])).tolist()
    [-1, 1, 0]
    """
    sign = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:
        sign = np.where(sign == 0, np.sign(column), sign)
    return sign
