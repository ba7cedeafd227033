"""The frequencies of an operator that is closed along all axes, in shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from convspec.arrays import FloatArray
from convspec.operators.normal import normalised
from convspec.operators.operator import ConvOperator
from convspec.operators.reduce import Reduction
from convspec.spectrum.fourier import cost
from convspec.spectrum.fourier.cost import blocks_flops
from convspec.spectrum.fourier.values import (
    Frequencies,
    decomposed,
    fourier_values,
)

__all__ = ["FourierShares", "ends_of_shares"]


@dataclass(frozen=True)
class FourierShares:
    """What ``spectrum(op, method="fourier")`` decomposes, in shares of some seconds.

    Attributes:
        exponent: The operator is ``2^exponent`` times
        reduced: this one, in normal form.
        frequencies: Those that are decomposed.
        ends: Of the shares among them, one more than there are shares.
    """

    exponent: int
    reduced: Reduction
    frequencies: Frequencies
    ends: tuple[int, ...]

    @classmethod
    def of(cls, op: ConvOperator) -> FourierShares:
        """The shares of an operator whose blocks are at its frequencies."""
        work, exponent = normalised(op.to(device="cpu"), torch.float64)
        reduced = Reduction.of(work)
        frequencies = Frequencies.of(reduced)
        blocks, count = frequencies.blocks, len(frequencies.index)
        flops = count * blocks_flops(blocks.groups, blocks.block_shape)
        return cls(exponent, reduced, frequencies, ends_of_shares(count, flops))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def values_of(self, number: int) -> FloatArray:
        """Singular values at the frequencies of a share, (frequencies, values)."""
        index = self.frequencies.index[self.ends[number] : self.ends[number + 1]]
        return decomposed(self.frequencies.blocks, index)[0]

    def joined(self, found: Sequence[FloatArray]) -> tuple[FloatArray, float]:
        """All singular values of the operator in normal form, and a bound on errors."""
        return fourier_values(self.reduced, found=np.concatenate(found))


def ends_of_shares(count: int, flops: float) -> tuple[int, ...]:
    """Where shares of so many frequencies begin and end, of so many operations in all."""
    pieces = max(1, min(count, round(flops / cost.SHARE_FLOPS)))
    return tuple(np.linspace(0, count, pieces + 1).round().astype(int).tolist())
