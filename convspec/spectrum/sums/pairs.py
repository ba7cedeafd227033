"""In how many ways four taps close a circle, from pixel to output and back.

``sum sigma^4 = ||A^H A||_F^2`` and ``A^H A = sum_{t,u} K_t^H K_u (x) S_t^T S_u``, so that
two pairs of taps meet with the weight, on each axis,

    C[t, u, t', u'] = tr((S_t^T S_u)^T S_t'^T S_u')
                    = #{(p, p'): t at p and t' at p' read one pixel, u and u' another}.

On an axis that shows no pixel twice p' follows from p, as ``s p + d t = s p' + d t'``,
and C is 0 unless ``u - t = u' - t'``.

Of ``A^H A`` the pairs (a, b) are (t, u), of ``A A^H``, with the same squared norm, they
are (t', t): :func:`lag_counts` and :func:`all_counts` order the table by these.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from convspec.arrays import IntArray
from convspec.operators.axis import Axis

__all__ = ["all_counts", "lag_counts", "repeats"]


def repeats(axis: Axis) -> bool:
    """Whether a pixel is shown at two places, so that tables by lag do not suffice."""
    return axis.mode != "zeros" and axis.reads_padding


def lag_counts(axis: Axis, lag: int, outputs: bool) -> IntArray:
    """The weights of the pairs (a, a + lag) and (c, c + lag), a and c ascending; (j, j).

    Args:
        axis: One that shows no pixel twice.
        lag: Of either sign.
        outputs: Whether the pairs are of ``A A^H``.

    >>> lag_counts(Axis(5, 5, 3, before=1, after=1), 1, False).tolist()
    [[4, 4], [4, 4]]
    """
    a = np.arange(max(0, -lag), axis.kernel - max(0, lag), dtype=np.int64)
    row, column = a[:, None], a[None, :]
    if outputs:
        t, u, step = row + lag, column + lag, np.full((len(a), len(a)), lag)
    else:
        t, u, step = row, row + lag, row - column
    shift = axis.dilation * step
    whole = shift % axis.stride == 0
    shift = shift // axis.stride
    first = np.maximum(np.maximum(_first(axis, t), _first(axis, u)), -shift)
    last = np.minimum(np.minimum(_last(axis, t), _last(axis, u)), axis.output - 1 - shift)
    counts: IntArray = np.where(whole, (last - first + 1).clip(min=0), 0)
    return counts


def all_counts(axis: Axis, outputs: bool) -> IntArray:
    """``W[a, b, c, d]``, the weights of all pairs (a, b) and (c, d); (k, k, k, k).

    Args:
        axis: Any.
        outputs: Whether the pairs are of ``A A^H``.
    """
    k, m = axis.source.shape
    tap, output = np.nonzero(axis.source >= 0)
    pixel = axis.source[tap, output]
    reads = sparse.csr_array(
        (np.ones(len(tap), dtype=np.int64), (tap * m + output, pixel)),
        shape=(k * m, axis.size),
    )
    shared = (reads @ reads.T).tocoo()  # one pixel: (t, p) with (t', p')
    (t, p), (t2, p2) = (divmod(place.astype(np.int64), m) for place in shared.coords)
    meets = sparse.csr_array(
        (shared.data, (t * k + t2, p * m + p2)), shape=(k * k, m * m)
    )
    counts = (meets @ meets.T).toarray().reshape(k, k, k, k)  # [t, t', u, u']
    ordered = counts.transpose(1, 0, 3, 2) if outputs else counts.transpose(0, 2, 1, 3)
    return np.ascontiguousarray(ordered)


def _first(axis: Axis, taps: IntArray) -> IntArray:
    """The first output of which each tap reads a pixel."""
    first: IntArray = -((axis.dilation * taps - axis.before) // axis.stride)
    return first.clip(min=0)


def _last(axis: Axis, taps: IntArray) -> IntArray:
    """The last output of which each tap reads a pixel, if there is one."""
    place = axis.size - 1 + axis.before - axis.dilation * taps
    return np.minimum(place // axis.stride, axis.output - 1)
