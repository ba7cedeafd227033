"""The band of the Gram matrix of a convolution, filled tap by tap.

With ``P_{t,u} = K_t^H K_u`` (pixels) or ``K_t K_u^H`` (outputs) and counts ``m_j`` of
what taps of places share along axis j,

    G_{(p_1 .. p_d), (q_1 .. q_d)} = sum_{t_1, u_1} m_1 ... sum_{t_d, u_d} m_d P_{t,u}.

The inner sums are the same for all places of the first axis: they are formed once for
each ``(t_1, u_1)`` and then added at all its places, a slice of second taps at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.bounds.spectral_norm.layout import BandLayout

__all__ = ["negative_band"]

# what is formed at a time, where one pair of taps does not take more
CHUNK_BYTES = 2**23

Array = npt.NDArray[Any]


def negative_band(layout: BandLayout, taps: Tensor) -> Array:
    """``-G`` as ``band[j, i - j]``, its lower half.

    Args:
        layout: Where it goes.
        taps: (taps, rows, columns), in the order of the layout.
    """
    kind = np.complex128 if taps.is_complex() else np.float64
    band = np.zeros((layout.side, layout.width + 1), dtype=kind)
    flat = band.reshape(-1)  # entry (i, j) of G is at j width + i
    factors = taps if layout.pixels else taps.mH  # P_{t,u} = factors_t^H factors_u
    first, across = layout.axes[0], layout.side // layout.axes[0].places
    inside, lower = _inside(layout)
    below = inside[lower]
    for t, (second, p, q, counts) in enumerate(first.rows()):
        places = across * (layout.width * q + p)
        for u, sums in _sums(layout, factors, t, np.unique(second)):
            start, end = np.searchsorted(second, [u, u + 1])
            apart = p[start:end] - q[start:end]
            for some, where, values in (
                (apart > 0, inside, sums),
                (apart == 0, below, sums[lower]),
            ):
                times = counts[start:end][some]
                _subtract(flat, places[start:end][some], where, times, values)
    return band


def _inside(layout: BandLayout) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Where entries go within two places of the first axis, and which may be stored.

    In the order of pairs of places of the other axes, then of two channels; stored is
    the lower half if the two places of the first axis are the same.
    """
    i, j = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    for axis in layout.axes[1:]:
        p, q, _ = axis.sums_of_products
        i = np.add.outer(i * axis.places, p).reshape(-1)
        j = np.add.outer(j * axis.places, q).reshape(-1)
    channel = np.arange(layout.channels)
    i = np.add.outer(i * layout.channels, channel)[:, :, None]
    j = np.add.outer(j * layout.channels, channel)[:, None, :]
    return (layout.width * j + i).reshape(-1), (i >= j).reshape(-1)


def _sums(
    layout: BandLayout, factors: Tensor, t: int, second: IntArray
) -> Iterator[tuple[int, Array]]:
    """For tap t and each second tap of the first axis the inner sums, flat."""
    shaped = factors.reshape(layout.axes[0].taps, -1, *factors.shape[1:])
    left = shaped[t].mH.reshape(-1, layout.inner)  # (others c, inner)
    size = max(1, CHUNK_BYTES // layout.block_bytes(factors.is_complex()))
    for start in range(0, len(second), size):
        some = second[start : start + size]
        right = shaped[torch.from_numpy(some)].permute(2, 0, 1, 3)
        product = (left @ right.reshape(layout.inner, -1)).resolve_conj().numpy()
        yield from zip(some.tolist(), _folded(layout, product, len(some)), strict=True)


def _folded(layout: BandLayout, product: Array, count: int) -> Array:
    """Sums over the taps of the other axes, one axis after the other.

    Args:
        layout: Where they go.
        product: ``P_{t,u}`` for one t_1 and some u_1, as
            (t_2 ... t_d c, u_1 u_2 ... u_d c).
        count: Number of u_1.

    Returns:
        (count, pairs of places of the other axes c c).
    """
    axes, c = layout.axes[1:], layout.channels
    kernel, d = [axis.taps for axis in axes], len(axes)
    shaped = product.reshape(*kernel, c, count, *kernel, c)
    ahead = [place for j in range(d) for place in (j, d + 2 + j)]
    values = shaped.transpose(*ahead, d + 1, d, 2 * d + 2)  # (t_2, u_2, ..., u_1, c, c)
    left, done, behind = math.prod(kernel) ** 2, 1, count * c * c
    for axis in axes:
        left //= axis.taps**2
        _, _, sums = axis.sums_of_products
        found = sums @ values.reshape(axis.taps**2, -1)
        values = found.reshape(-1, left, done, behind).transpose(1, 2, 0, 3)
        done *= len(found)
    by_place: Array = values.reshape(done, count, c * c).swapaxes(0, 1)
    return by_place.reshape(count, -1)


def _subtract(
    flat: Array, starts: IntArray, where: IntArray, counts: IntArray, values: Array
) -> None:
    """``flat[start + where] -= count values`` for each start, all places different."""
    size = max(1, CHUNK_BYTES // (48 * max(1, len(where))))
    for first in range(0, len(starts), size):
        some = slice(first, first + size)
        places = np.add.outer(starts[some], where)
        flat[places] -= np.multiply.outer(counts[some].astype(np.float64), values)
