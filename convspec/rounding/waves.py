"""Waves ``exp(i <q, w>)``, sums ``F(w) = sum_q C_q exp(i <q, w>)``, and their errors.

What a wave is off by depends on how its phase is known. Of *dyadic* frequencies,
``w = 2 pi x`` with x a multiple of 2^-32, integer combinations ``<q, x>`` and the
fractions of a turn left of these are exact in float64; of *rational* ones,
``w = 2 pi j / N``, phases are reduced in integers and rounded in one division. What
remains are cosines and sines of angles within [-pi, pi], off by some units of 2^-53:
:func:`wave_error` and :data:`RATIONAL`. All sums share one error, :func:`sum_factor`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.rounding.directed import UNIT, gamma, up
from convspec.rounding.norms import above, frobenius_above
from convspec.rounding.scaling import UNDERFLOW

__all__ = [
    "RATIONAL",
    "RATIONAL_AXES",
    "TURN",
    "nearest_turns",
    "rational_waves",
    "sum_factor",
    "symbol_ball",
    "symbol_error",
    "symbol_values",
    "wave_error",
    "wave_sums",
    "waves",
]

TURN = 2.0**-32

# 2 pi and its product with a fraction of a turn round once each: the angle is off by
# 2 pi u at most, and with it the cosine; the cosine itself by a unit in the last place,
# which is u; we allow four. In units of u, rounded up.
ONE_AXIS = 12
# (a + ib)(c + id) of two such waves is off by 2 sqrt(2) times that and 2 u per part
TWO_AXES, THREE_AXES = 40, 76
# at rational frequencies one division more, and two products with 2 pi: the angle is off
# by less than 10 u
RATIONAL = 16
# products of such waves, one for each of 1, 2, 3 axes, as TWO_AXES and THREE_AXES
RATIONAL_AXES = (RATIONAL, 54, 104)
# from so many lags on, the waves of each axis are multiplied
MANY_LAGS = 64


def nearest_turns(turns: Tensor) -> Tensor:
    """The nearest multiples of 2^-32 in [0, 1)."""
    return (torch.round(turns / TURN) * TURN) % 1.0


def wave_error(lags: IntArray) -> int:
    """By how many u the cosines and sines of :func:`waves` are off at most."""
    return (ONE_AXIS, TWO_AXES, THREE_AXES)[len(_factors(lags)) - 1]


def waves(turns: Tensor, lags: IntArray) -> tuple[Tensor, Tensor]:
    """``cos 2 pi <q, x>`` and ``sin 2 pi <q, x>``, each off by :func:`wave_error` u.

    Args:
        turns: (j, d), multiples of 2^-32 in [-1, 1].
        lags: (lags, d), integers with ``sum_j |q_j| < 2^20``.

    Returns:
        Cosines and sines, (j, lags).

    Raises:
        ValueError: If the turns or lags are not such numbers.
    """
    if lags.size and int(np.abs(lags).sum(axis=1).max()) >= 2**20:
        raise ValueError("the lags must add up to less than 2^20 for exact phases")
    if not bool((torch.round(turns / TURN) * TURN == turns).all()):
        raise ValueError("turns must be multiples of 2^-32; see nearest_turns")
    factors = _factors(lags)
    if len(factors) == 1:
        return _one_factor(turns, lags)
    real = torch.ones((), dtype=torch.float64)
    imaginary = torch.zeros((), dtype=torch.float64)
    for axes in factors:
        steps, which = np.unique(lags[:, axes], axis=0, return_inverse=True)
        place = torch.as_tensor(which.reshape(-1))
        cosine, sine = (wave[:, place] for wave in _one_factor(turns[:, axes], steps))
        # by (1, 0) at first, which is exact
        real, imaginary = (
            real * cosine - imaginary * sine,
            real * sine + imaginary * cosine,
        )
    return real, imaginary


def _one_factor(turns: Tensor, lags: IntArray) -> tuple[Tensor, Tensor]:
    """Cosines and sines of ``2 pi <q, x>``, whose fractions of a turn are exact."""
    phase = turns @ torch.as_tensor(lags.T, dtype=torch.float64)
    angle = 2 * math.pi * (phase - phase.round())
    return angle.cos(), angle.sin()


def _factors(lags: IntArray) -> list[list[int]]:
    """The groups of axes whose waves are computed and then multiplied."""
    axes = list(range(lags.shape[1]))
    return [axes] if len(lags) < MANY_LAGS or not axes else [[axis] for axis in axes]


def rational_waves(lags: IntArray, index: IntArray, grid: Sequence[int]) -> Tensor:
    """``exp(i <q, 2 pi j / N>)`` for rows j of index; each part off by RATIONAL u.

    Args:
        lags: (lags, d).
        index: (j, d).
        grid: (N_1, ..., N_d), whose least common multiple is below 2^50.

    Returns:
        (j, lags), complex128.
    """
    turn = math.lcm(*grid)
    phase = np.zeros((len(index), len(lags)), dtype=np.int64)
    for j, size in enumerate(grid):
        steps = np.multiply.outer(index[:, j] % size, lags[:, j] % size) % size
        phase += steps * (turn // size)
    phase %= turn
    phase = np.where(2 * phase > turn, phase - turn, phase)
    angle = torch.as_tensor(2 * math.pi * (phase / turn))
    return torch.complex(angle.cos(), angle.sin())


def sum_factor(count: int, is_complex: bool, wave: int) -> float:
    """G with ``|fl(F) - F| <= g sum_q |C_q|`` entry by entry, for sums over so many lags.

    Each part of an entry is a real sum of ``count`` products, or of twice as many for
    complex C, one factor of each off by ``wave`` u. Of these, real C sees one of cosine
    and sine in either part, complex C both: ``|a| + |b| <= sqrt(2) |a + ib|``. The two
    parts together are off by at most sqrt(2) times one.

    So are sums over pairs, ``sum_q cos<q, w> (C_q + C_q^H) + sin<q, w> i (C_q - C_q^H)``,
    off by at most g times ``sum_q |C_q| + |C_q|^T``: an entry and its mirror, a + ib and
    c + id, enter either part as ``|a| + |b| + |c| + |d|`` at most, and the two more
    roundings, of the combination and of its parts' sum, are among the 4.

    Args:
        count: Number of lags, or of pairs.
        is_complex: Whether C is.
        wave: By how many u cosines and sines are off.
    """
    parts = 2 if is_complex else 1
    return up(up(math.sqrt(2)) * gamma(parts * (count + wave) + 4), 2)


def symbol_values(coefficients: Tensor, lags: IntArray, turns: Tensor) -> Tensor:
    """``F(2 pi x) = sum_q C_q exp(2 pi i <q, x>)``, (j, rows, columns).

    Arguments are those of :func:`symbol_ball`.
    """
    return wave_sums(coefficients, torch.complex(*waves(turns, lags)))


def wave_sums(coefficients: Tensor, wave: Tensor) -> Tensor:
    """``sum_q C_q wave[j, q]``: (r, c, lags), (j, lags) -> (j, r, c)."""
    rows, columns, count = coefficients.shape
    flat = coefficients.reshape(rows * columns, count).T
    if coefficients.is_complex():
        values = wave @ flat
    else:
        values = torch.complex(wave.real @ flat, wave.imag @ flat)
    return values.reshape(len(wave), rows, columns)


def symbol_ball(
    coefficients: Tensor, lags: IntArray, turns: Tensor
) -> tuple[Tensor, Tensor]:
    """``F(2 pi x) = sum_q C_q exp(2 pi i <q, x>)`` and a bound on its error.

    The error has a 2-norm of at most :func:`sum_factor` times ``sum_q ||C_q||_F``.

    Args:
        coefficients: (rows, columns, lags), entries of size at most 1.
        lags: (lags, d).
        turns: (j, d), multiples of 2^-32.

    Returns:
        (j, rows, columns) complex128, and a scalar: at least the 2-norm of the error of
        each.
    """
    count = coefficients.shape[-1]
    factor = sum_factor(count, coefficients.is_complex(), wave_error(lags))
    spread = above(frobenius_above(coefficients.permute(2, 0, 1)).sum(), gamma(count))
    error = above(factor * spread, 4 * UNIT) + UNDERFLOW
    return symbol_values(coefficients, lags, turns), error


def symbol_error(weight: Tensor, eps: float = 2 * UNIT) -> float:
    """Bound on the norm error of ``F(w) = sum_t K_t exp(i <t, w>)`` evaluated on a grid.

    Entrywise :func:`sum_factor` times ``sum_t |K_t|``, with waves at rational frequencies
    or products of one for each axis; the norm of the error is at most the Frobenius norm
    of that.

    Args:
        weight: (rows, columns, *taps).
        eps: Machine epsilon of the values, rounded from float64.
    """
    taps = math.prod(weight.shape[2:])
    spread = weight.detach().abs().reshape(*weight.shape[:2], taps).sum(dim=2)
    wave = RATIONAL_AXES[max(weight.ndim - 3, 0)]
    factor = sum_factor(taps, weight.is_complex(), wave) * max(1.0, eps / (2 * UNIT))
    return factor * _length(spread)


def _length(values: Tensor) -> float:
    """The Euclidean norm of numbers >= 0, scaled first: tiny ones have no squares."""
    largest = float(values.max()) if values.numel() else 0.0
    return largest * float(torch.linalg.vector_norm(values / largest)) if largest else 0.0
