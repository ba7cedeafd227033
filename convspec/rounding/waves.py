"""The symbol at given frequencies, as the centre and the radius of a ball.

Frequencies are given in turns, ``w = 2 pi x``, with x a multiple of 2^-32: such x, their
integer combinations ``<q, x>`` and the fractions of a turn left of these are exact in
float64. What remains is one cosine and one sine of an angle within [-pi, pi].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convspec.geometry import IntArray
from convspec.rounding.directed import UNIT, gamma, up
from convspec.rounding.norms import above, frobenius_above
from convspec.rounding.scaling import UNDERFLOW

__all__ = ["TURN", "WAVE_ROUNDINGS", "nearest_turns", "symbol_ball", "waves"]

TURN = 2.0**-32

# 2 pi and its product with a fraction of a turn round once each: the angle is off by
# 2 pi u at most, and with it the cosine; the cosine itself by a unit in the last place,
# which is u; we allow four. In units of u, rounded up.
WAVE_ROUNDINGS = 12


def nearest_turns(turns: Tensor) -> Tensor:
    """The nearest multiples of 2^-32 in [0, 1)."""
    return (torch.round(turns / TURN) * TURN) % 1.0


def waves(turns: Tensor, lags: IntArray) -> tuple[Tensor, Tensor]:
    """``cos 2 pi <q, x>`` and ``sin 2 pi <q, x>``, each off by at most 12 u.

    Args:
        turns: (j, d), multiples of 2^-32 in [-1, 1].
        lags: (lags, d), integers with ``sum_j |q_j| < 2^20``.

    Returns:
        Cosines and sines, (j, lags).

    Raises:
        ValueError: If the turns or lags are not such numbers.
    """
    places = torch.as_tensor(lags.T, dtype=torch.float64)
    if places.numel() and float(places.abs().sum(0).max()) >= 2**20:
        raise ValueError("the lags must add up to less than 2^20 for exact phases")
    if not bool((torch.round(turns / TURN) * TURN == turns).all()):
        raise ValueError("turns must be multiples of 2^-32; see nearest_turns")
    phase = turns @ places
    angle = 2 * math.pi * (phase - phase.round())
    return angle.cos(), angle.sin()


def symbol_ball(
    coefficients: Tensor, lags: IntArray, turns: Tensor
) -> tuple[Tensor, Tensor]:
    """``F(2 pi x) = sum_q C_q exp(2 pi i <q, x>)`` and a bound on its error.

    Each part of an entry is a real sum over lags whose cosines are off by 12 u, so that
    ``|fl(F) - F| <= sqrt(2) gamma_{lags + 16} sum_q |C_q|`` entrywise, twice as many
    terms for complex C; its 2-norm is at most that times ``sum_q ||C_q||_F``.

    Args:
        coefficients: (rows, columns, lags), entries of size at most 1.
        lags: (lags, d).
        turns: (j, d), multiples of 2^-32.

    Returns:
        (j, rows, columns) complex128, and a scalar: at least the 2-norm of the error of
        each.
    """
    rows, columns, count = coefficients.shape
    cosines, sines = waves(turns, lags)
    flat = coefficients.reshape(rows * columns, count).T
    if coefficients.is_complex():
        values = torch.complex(cosines, sines) @ flat
    else:
        values = torch.complex(cosines @ flat, sines @ flat)
    terms = (2 if coefficients.is_complex() else 1) * count
    factor = up(up(math.sqrt(2)) * gamma(terms + WAVE_ROUNDINGS + 4))
    spread = above(frobenius_above(coefficients.permute(2, 0, 1)).sum(), gamma(count))
    error = above(factor * spread, 4 * UNIT) + UNDERFLOW
    return values.reshape(len(turns), rows, columns), error
