"""The symbol at rational frequencies, as the centre and the radius of a ball.

At ``w = 2 pi j / N`` the phase ``<q, w>`` is a rational part of a turn, reduced in
integers: its numerator is exact, and what rounds is one division, two products with 2 pi
and the cosine. The angle, at most pi in size, is then off by less than ``10 u`` and the
cosine, one unit in the last place granted four times, by less than ``16 u``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.rounding import gamma, up

__all__ = ["WAVE", "rational_waves", "waves_error"]

# the error of a cosine or sine, in units of 2^-53
WAVE = 16


def rational_waves(lags: IntArray, index: IntArray, grid: Sequence[int]) -> Tensor:
    """``exp(i <q, 2 pi j / N>)`` for rows j of index; (j, lags) complex128.

    Args:
        lags: (lags, d).
        index: (j, d).
        grid: (N_1, ..., N_d), whose least common multiple is below 2^31.
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


def waves_error(coefficients: int, is_complex: bool) -> float:
    """Number g with ``|fl(F) - F| <= g sum_q |C_q|`` for sums over so many lags.

    A complex product by a BLAS is two real sums of twice as many terms, each factor off
    by ``WAVE`` units.
    """
    terms = (2 if is_complex else 1) * coefficients
    return up(up(math.sqrt(2)) * gamma(terms + 2 * WAVE + 4), 2)
