"""A certified lower bound on sigma_1, and where in frequency its vector lives."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from convspec.bounds.iteration import product_noise, rayleigh, small_side
from convspec.bounds.kernel import ScaledKernel, scaled_down
from convspec.spectrum.krylov.largest import largest_triples
from convspec.spectrum.reduce import ReadAxis

__all__ = ["Leading", "group_lower", "leading"]

MAX_PRODUCTS = 4000
# phases per axis that are compared
PHASES = 8


@dataclass(frozen=True)
class Leading:
    """The leading singular vector by Krylov.

    Attributes:
        lower: ``||A v|| / ||v||``, rounded down.
        pixels: The vector on the pixels that the convolution reads, (c, *sizes) of the
            axes with more than one tap; those of the others are among the channels.
    """

    lower: float
    pixels: Tensor

    def turns(
        self,
        frequencies: tuple[int, ...],
        free: tuple[bool, ...],
        *,
        between: bool = True,
    ) -> tuple[Fraction, ...]:
        """The phases of a torus that put the vector's frequencies between its own.

        The norm of the torus is its symbol's largest value on a grid: least where the
        peak, around which the vector lives, is midway between grid points. Any phases
        would do; these are good.

        Args:
            frequencies: Of the torus, per axis.
            free: The axes along which a phase is allowed.
            between: Whether between them, else on one of them.
        """
        split = [x for n, f in zip(frequencies, free, strict=True) for x in _split(n, f)]
        shape = tuple(n * m for n, m in zip(split[::2], split[1::2], strict=True))
        energy = _energy(self.pixels, shape).numpy().reshape(split)
        peaks = energy.max(axis=tuple(range(0, energy.ndim, 2)))
        # conjugation sends frequency w of a vector to -w of its conjugate: signs differ
        flipped = peaks[np.ix_(*[-np.arange(n) % n for n in peaks.shape])]
        scores = np.maximum(peaks, flipped)
        scores = scores / (float(scores.max()) or 1.0) * (1 if between else -1)
        best = min(
            product(*map(range, scores.shape)),
            key=lambda place: (round(float(scores[place]), 6), place),
        )
        return tuple(Fraction(j, n) for j, n in zip(best, scores.shape, strict=True))


def leading(kernel: ScaledKernel, rtol: float) -> Leading:
    """The leading vector of the scaled operator, to a residual that rtol deserves."""
    op = kernel.detached().operator
    residual = min(max(1e-3 * math.sqrt(rtol), 1e-9), 1e-4)
    found = largest_triples(op, 1, residual, MAX_PRODUCTS)
    side = small_side(op)
    vector = found.left[0] if op.shape[1] > op.shape[0] else found.right[0]
    noise = product_noise(kernel)
    lower = rayleigh(side, vector.reshape(-1), noise)
    pixels = found.left[0] if op.transposed else found.right[0]
    single = [ReadAxis.of(axis).single for axis in op.geometry.axes]
    ahead = [0, *[1 + j for j, alone in enumerate(single) if alone]]
    behind = [1 + j for j, alone in enumerate(single) if not alone]
    pixels = pixels.permute(*ahead, *behind).flatten(0, len(ahead) - 1)
    return Leading(lower, pixels)


def group_lower(kernel: ScaledKernel, group: int, rtol: float) -> float:
    """A lower bound on the norm of one group of the scaled operator."""
    op = kernel.detached().operator
    rows = op.weight.shape[0] // op.groups
    geometry = replace(op.geometry, c_in=op.weight.shape[1], c_out=rows, groups=1)
    weight = op.weight[group * rows : (group + 1) * rows]
    alone = ScaledKernel.of(op.with_geometry(weight, geometry))
    if not alone.weight.any():
        return 0.0
    return scaled_down(leading(alone, rtol).lower, alone.exponent)


def _energy(pixels: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``sum_c |x_c(w)|^2`` at ``w = 2 pi j / shape``: the DFT of the autocorrelation.

    All channels are transformed at a length at which lags do not alias; only their sum
    goes to the grid, where lags that coincide modulo its size have the same waves.
    """
    axes = tuple(range(1, pixels.ndim))
    lengths = [next_fast_len(2 * n - 1) for n in pixels.shape[1:]]
    power = torch.fft.fftn(pixels, s=lengths, dim=axes).abs().square().sum(dim=0)
    lags: Tensor = torch.fft.ifftn(power)
    for j, (n, length, size) in enumerate(
        zip(pixels.shape[1:], lengths, shape, strict=True)
    ):
        lag = torch.arange(1 - n, n)
        folded = lags.new_zeros([*lags.shape[:j], size, *lags.shape[j + 1 :]])
        lags = folded.index_add(j, lag % size, lags.index_select(j, lag % length))
    energy: Tensor = torch.fft.fftn(lags).real
    return energy


def _split(count: int, free: bool) -> tuple[int, int]:
    return (count, PHASES) if free else (count, 1)
