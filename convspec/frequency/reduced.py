"""The symbol that a supremum over frequency is taken of, reduced to what decides it.

Singular values over all frequencies stay the same when

* taps lie ``dilation`` apart: the map ``w -> dilation w`` covers the torus;
* stride and dilation share a factor: outputs and taps then read the same residues;
* each of the stride's phases is shifted as a whole: a column's unit factor;
* rows and columns are exchanged, lags are shifted or divided by a common factor.

So a stride s counts as ``s / gcd(s, dilation)``, dilation as 1, and a frequency on which
nothing depends is dropped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.operators.symbol import Symbol
from convspec.rounding.norms import frobenius_above, sum_above
from convspec.rounding.scaling import scaled

__all__ = ["ReducedSymbol", "symbol_bytes"]


def symbol_bytes(weight: Tensor) -> int:
    """What the symbol of a weight takes, reduced and in double precision, about.

    The weight split into phases, a copy without its gradient, one scaled, its norms.
    """
    return 4 * weight.numel() * (16 if weight.is_complex() else 8)


@dataclass(frozen=True)
class ReducedSymbol:
    """``F(w) = 2^e sum_q C_q exp(i <q, w>)`` with few rows and few frequencies.

    Attributes:
        coefficients: C, (groups, rows, columns, lags), rows <= columns, entries of size
            at most 1; float64 or complex128 on the CPU, without gradient.
        lags: q, (lags, d), each axis from 0 to some positive number.
        exponent: e.
        flipped: Whether rows and columns were exchanged.
        axes: The axis of the symbol that each frequency is of.
        steps: What the lags on each of them were divided by.
        symbol_dim: How many axes the symbol has.
    """

    coefficients: Tensor
    lags: IntArray
    exponent: int
    flipped: bool
    axes: tuple[int, ...]
    steps: tuple[int, ...]
    symbol_dim: int

    @classmethod
    def of(cls, symbol: Symbol) -> ReducedSymbol:
        """Drop zero lags and idle frequencies, scale by a power of two."""
        C = symbol.coefficients.detach().cpu()
        live = (C != 0).flatten(0, 2).any(0).nonzero()[:, 0]
        live = live if len(live) else torch.zeros(1, dtype=torch.int64)
        lags = symbol.lags[live.numpy()]
        lags = lags - lags.min(axis=0)
        axes = np.flatnonzero(lags.max(axis=0) > 0)
        steps = [int(np.gcd.reduce(lags[:, axis])) for axis in axes]
        lags = lags[:, axes] // np.array(steps, dtype=np.int64)
        flipped = C.shape[1] > C.shape[2]
        C = C[..., live].transpose(1, 2) if flipped else C[..., live]
        flat, exponent = scaled(C.reshape(1, C.numel()))
        return cls(
            flat.reshape(C.shape),
            lags,
            int(exponent),
            flipped,
            tuple(axes.tolist()),
            tuple(steps),
            symbol.dim,
        )

    def frequency(self, turns: Tensor) -> tuple[float, ...]:
        """The frequency of the symbol, in radians, that ``turns`` stands for."""
        full = [0.0] * self.symbol_dim
        for axis, step, turn in zip(self.axes, self.steps, turns.tolist(), strict=True):
            full[axis] = 2 * math.pi * turn / step
        return tuple(full)

    @property
    def groups(self) -> int:
        """Number of diagonal blocks."""
        return self.coefficients.shape[0]

    @property
    def side(self) -> int:
        """Rows of a block, the smaller of its sides."""
        return self.coefficients.shape[1]

    @property
    def dim(self) -> int:
        """Number of frequencies that matter."""
        return int(self.lags.shape[1])

    @property
    def is_complex(self) -> bool:
        """Whether the weights are: then w and -w differ."""
        return self.coefficients.is_complex()

    @property
    def degrees(self) -> tuple[float, ...]:
        """Half the range of the lags per axis: the exponential type n_j of F."""
        return tuple(float(lag) / 2 for lag in self.lags.max(axis=0))

    @property
    def spread(self) -> Tensor:
        """At least ``sum_q ||C_q||_F``, and so the norm of F anywhere; (groups,)."""
        norms = frobenius_above(self.coefficients.permute(0, 3, 1, 2))  # (groups, lags)
        return sum_above(norms, -1)
