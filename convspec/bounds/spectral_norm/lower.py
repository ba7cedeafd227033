"""A certified lower bound on sigma_1, and where in frequency its vector lives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np
import scipy
import torch
from torch import Tensor

from convspec.bounds.iteration import rayleigh, small_side
from convspec.limits import DEFAULT_MAX_BYTES
from convspec.operators.groups import of_groups
from convspec.operators.kernel import ScaledKernel, scaled_down
from convspec.operators.operator import ConvOperator
from convspec.operators.product_error import convolution_error
from convspec.spectrum.krylov.largest import basis_within, largest_triples
from convspec.spectrum.waves.ritz import wave_vectors

__all__ = ["Leading", "group_lower", "leading"]

MAX_PRODUCTS, LEAST_PRODUCTS = 4000, 4
# residuals that single precision reaches, enough for gaps of 1e-4: of small images, whose
# first values may be so near to each other that 1e-4 stops between them, and of others,
# whose first values are so many that it does not matter
FINE, COARSE = 1e-5, 1e-4
# outputs along each axis from which on the border matters so little that waves come near
FEWEST_PLACES = 40
# phases per axis that are compared, and frequencies in all, at most
PHASES, MOST_FREQUENCIES = 8, 2**23
# of a frequency whose energy is compared: transformed, real, compared
ENERGY_BYTES = 48
# channels are transformed so many bytes at a time; of large images those of most energy,
# which show well enough where it is
CHUNK_BYTES = 2**23
LARGE, MOST_CHANNELS = 2**18, 8


@dataclass(frozen=True)
class Leading:
    """The leading singular vector by Krylov steps, from waves where they come near.

    Attributes:
        lower: ``||A v|| / ||v||``, rounded down.
        pixels: The vector on the pixels that the convolution reads, (c, *sizes) of the
            axes with more than one tap; those of the others are among the channels.
        rows: This and perhaps further leading singular vectors on the smaller side of
            the operator, see :func:`small_side`; (m, n).
    """

    lower: float
    pixels: Tensor
    rows: Tensor

    def turns(
        self,
        frequencies: tuple[int, ...],
        strides: tuple[int, ...],
        free: tuple[bool, ...],
        *,
        between: bool = True,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> tuple[Fraction, ...]:
        """The phases of a torus that put the vector's frequencies between its own.

        The norm of the torus is its symbol's largest value on a grid: least where the
        peak, around which the vector lives, is midway between grid points. Any phases
        would do; these are good.

        Args:
            frequencies: Of the torus, per axis.
            strides: Pixels of the torus per frequency.
            free: The axes along which a phase is allowed.
            between: Whether between them, else on one of them.
            max_bytes: Byte limit of the energies; fewer phases are compared within it.
        """
        # a real vector has its frequencies in pairs: on a grid that contains -w with w
        # both are as near as can be, and half of the blocks are conjugates of others
        phases = PHASES if between or self.pixels.is_complex() else 2
        most = min(MOST_FREQUENCIES, max_bytes // ENERGY_BYTES)
        while phases > 1 and math.prod(frequencies) * phases ** sum(free) > most:
            phases //= 2
        split = [
            x for n, f in zip(frequencies, free, strict=True) for x in (n, phases**f)
        ]
        shape = tuple(n * m for n, m in zip(split[::2], split[1::2], strict=True))
        energy = _energy(self.pixels, shape, strides).numpy().reshape(split)
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


def leading(
    kernel: ScaledKernel,
    rtol: float,
    count: int = 1,
    *,
    residual: float = 0.0,
    max_flops: float = math.inf,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Leading:
    """The leading vector of the scaled operator, to a residual that rtol deserves.

    Args:
        kernel: The operator.
        rtol: Relative gap to stop at.
        count: How many vectors to find.
        residual: Relative to the norm, that is good enough if more than rtol deserves.
        max_flops: Operations on Krylov products, about; the fewest are taken anyway.
        max_bytes: Byte limit of what is held at a time.

    Raises:
        TooLargeError: If not even the fewest Krylov vectors fit.
    """
    op = kernel.detached().operator
    count = min(count, *op.shape)
    most = basis_within(op, count, max_bytes)
    side = small_side(op)
    start = _by_waves(side, count, max_bytes)
    # the value is off by the square of the residual over the distance to the next one
    deserved = FINE if start is None else COARSE
    if rtol < COARSE:
        deserved = max(1e-3 * math.sqrt(rtol), 1e-9)
    products = min(
        MAX_PRODUCTS, max(LEAST_PRODUCTS, max_flops / (2.0 * op.geometry.reads))
    )
    within = max(deserved, min(residual, COARSE))
    found = largest_triples(op, count, within, int(products), most=most, start=start)
    rows = (found.left if op.shape[1] > op.shape[0] else found.right).flatten(1)
    lower = rayleigh(side, rows[0], convolution_error(side))
    pixels = found.left[0] if op.transposed else found.right[0]
    single = [read.single for read in kernel.axes]
    ahead = [0, *[1 + j for j, alone in enumerate(single) if alone]]
    behind = [1 + j for j, alone in enumerate(single) if not alone]
    pixels = pixels.permute(*ahead, *behind).flatten(0, len(ahead) - 1)
    return Leading(lower, pixels, rows)


def _by_waves(side: ConvOperator, count: int, max_bytes: int) -> Tensor | None:
    """Leading Ritz vectors on waves, rows; None where the image is too small for it.

    Krylov steps from it settle what waves leave at the border: 8 of them instead of
    hundreds, for 64 channels at 224 x 224.
    """
    places = [
        min(-(-axis.size // axis.stride), axis.output)
        for axis in side.geometry.axes
        if axis.kernel > 1
    ]
    if min(places, default=0) < FEWEST_PLACES:
        return None
    found = wave_vectors(side, count, max_bytes=max_bytes)
    return None if found is None else found.images.flatten(1)


def group_lower(
    kernel: ScaledKernel, group: int, rtol: float, max_flops: float, max_bytes: int
) -> float:
    """A lower bound on the norm of one group of the scaled operator."""
    alone = ScaledKernel.of(of_groups(kernel.detached().operator, [group]))
    if not alone.weight.any():
        return 0.0
    found = leading(alone, rtol, max_flops=max_flops, max_bytes=max_bytes)
    return scaled_down(found.lower, alone.exponent)


def _energy(pixels: Tensor, shape: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
    """``sum_{c, r} |x_{c, r}(w)|^2`` at ``w = 2 pi j / shape``, r the strides' phases.

    It is the DFT of the autocorrelation, of the lags that the strides divide.

    All channels are transformed at a length at which lags do not alias; only their sum
    goes to the grid, where lags that coincide modulo its size have the same waves.
    """
    if pixels[0].numel() > LARGE and len(pixels) > MOST_CHANNELS:
        sizes = torch.linalg.vector_norm(pixels.flatten(1), dim=1)
        pixels = pixels[sizes.topk(MOST_CHANNELS).indices]
    axes = tuple(range(1, pixels.ndim))
    lengths = [scipy.fft.next_fast_len(2 * n - 1) for n in pixels.shape[1:]]
    at_once = max(1, CHUNK_BYTES // (48 * math.prod(lengths)))
    power = torch.zeros(lengths, dtype=torch.float64)
    for some in torch.split(pixels, at_once):
        waves = torch.fft.fftn(some, s=lengths, dim=axes)
        power += waves.abs().square().sum(dim=0)
    lags: Tensor = torch.fft.ifftn(power)
    for j, (n, length, size, stride) in enumerate(
        zip(pixels.shape[1:], lengths, shape, strides, strict=True)
    ):
        lag = torch.arange(-((n - 1) // stride), (n - 1) // stride + 1)
        folded = lags.new_zeros([*lags.shape[:j], size, *lags.shape[j + 1 :]])
        taken = lags.index_select(j, stride * lag % length)
        lags = folded.index_add(j, lag % size, taken)
    energy: Tensor = torch.fft.fftn(lags).real
    return energy
