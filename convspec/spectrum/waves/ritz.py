"""The largest singular values by Rayleigh-Ritz on waves around the symbol's peaks.

Around a peak w0 of ``sigma_1(F(w))`` the leading singular vectors of a large image are
its wave under a slowly varying window, to first order ``sin(pi (p + 1) / (n + 1))`` along
each axis of n pixels: two waves, at ``w0 +- pi / (n + 1)``, each with the singular vector
of F at its own frequency. More frequencies, and more singular vectors of each, let the
window bend near the border. The space is small, and its Gram matrices cost no product
with A.

Two spaces are taken. One of few waves around every peak gives a first value; a peak at
which the symbol is below it adds little, as a vector that lives around it alone has a
value below the peak's. The second has more waves, around the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.arguments import integer
from convspec.frequency.scan import leading_vectors, symbol_peaks
from convspec.limits import DEFAULT_MAX_BYTES
from convspec.operators.operator import ConvOperator
from convspec.operators.symbol import Symbol
from convspec.spectrum.waves.axis import WaveAxis
from convspec.spectrum.waves.space import WaveSpace, wave_axes

__all__ = ["WaveVectors", "wave_vectors"]

# distances of waves from a peak, per axis in steps of the image's grid: the sine window,
# and with its neighbours, by number of axes
FIRST = (-0.5, 0.5)
OFFSETS = {
    1: (-2.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0),
    2: (-1.0, -0.5, 0.5, 1.0),
    3: FIRST,
}
# leading singular vectors of each frequency
FIRST_VECTORS, VECTORS = 2, 8
# waves that are taken, unless there are more frequencies
MOST = 160
# classes of outputs, beyond which products with A cost less than the Gram matrices
MOST_CLASSES = 256
# peaks of the symbol that waves are taken around
PEAKS = 4
# steps of block power iteration for these vectors
STEPS = 10
# directions whose length is below the root of this part of the longest are dropped
DEPENDENT = 1e-7


@dataclass(frozen=True)
class WaveVectors:
    """Ritz vectors of an operator on waves.

    Attributes:
        values: Ritz values, descending: at most the singular values of A of the same
            place, but for rounding; (count,), float64.
        images: The vectors, on the input; (count, *input_shape).
    """

    values: Tensor
    images: Tensor


def wave_vectors(
    op: ConvOperator,
    count: int = 1,
    *,
    offsets: Sequence[float] | None = None,
    vectors: int = VECTORS,
    dtype: torch.dtype = torch.float32,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> WaveVectors | None:
    """Leading singular values from below and their vectors, without a product with A.

    The values of the pencil ``(A S)^H A S - theta S^H S`` on waves S around the peaks of
    the symbol; they are estimates, as nothing accounts for rounding.

    Args:
        op: Of one group, on the CPU, with weights near 1.
        count: How many are wanted; fewer come where the space has fewer dimensions.
        offsets: Distances of the waves from a peak, in steps of the image's grid, along
            each axis.
        vectors: Leading singular vectors of each frequency.
        dtype: Of the images, real; complex weights give its complex kin.
        max_bytes: Byte limit of what is held at a time beside the images.

    Returns:
        None where the operator has groups, shows pixels at places not their own, or has a
        kernel so large that outputs read the image in more than ``MOST_CLASSES`` ways.

    Source: Rayleigh and Ritz; that the leading vectors are such waves, Widom, "On the
    eigenvalues of certain Hermitian operators", Trans. Amer. Math. Soc. 88, 1958.
    """
    count, vectors = integer("count", count, 1), integer("vectors", vectors, 1)
    conv = op.H if op.transposed else op
    axes = wave_axes(conv)
    if axes is None or math.prod(len(axis.classes) for axis in axes) > MOST_CLASSES:
        return None
    offsets = OFFSETS[len(axes)] if offsets is None else offsets
    waves = _Waves(conv, axes, conv.symbol().to(torch.float32), max_bytes)
    peaks = symbol_peaks(waves.symbol, PEAKS, max_bytes=max_bytes)
    space = waves.around(peaks.frequencies, FIRST, min(vectors, FIRST_VECTORS))
    values, _ = _ritz(space, count)
    high = peaks.values >= values[-1]
    high[0] = True
    space = waves.around(peaks.frequencies[high], offsets, vectors)
    values, rows = _ritz(space, count)
    kind = dtype.to_complex() if op.dtype.is_complex else dtype
    images = space.images(rows, kind)
    if op.transposed:  # these are its left vectors
        images = op.H.to(kind).apply(images)
    return WaveVectors(values, images)


@dataclass(frozen=True)
class _Waves:
    """What spaces of waves are made of."""

    conv: ConvOperator
    axes: tuple[WaveAxis, ...]
    symbol: Symbol
    max_bytes: int

    def around(self, peaks: Tensor, offsets: Sequence[float], count: int) -> WaveSpace:
        """Waves around peaks with ``count`` singular vectors each, at most ``MOST``."""
        around = [_around(peak, self.axes, offsets) for peak in peaks]
        frequencies = torch.unique(torch.cat(around), dim=0)
        count = min(count, *self.symbol.block_shape, max(1, MOST // len(frequencies)))
        _, v = leading_vectors(
            self.symbol, frequencies, count, steps=STEPS, max_bytes=self.max_bytes
        )
        strides = [axis.axis.stride for axis in self.axes]
        shape = len(frequencies) * count, self.conv.geometry.c_in, *strides
        weight = self.conv.weight.detach()
        wide = torch.complex128 if weight.is_complex() else torch.float64
        return WaveSpace(
            self.axes,
            weight.to(wide),
            frequencies.repeat_interleave(count, dim=0),
            v.mT.to(torch.complex128).reshape(shape),
            self.max_bytes,
        )


def _around(peak: Tensor, axes: Sequence[WaveAxis], offsets: Sequence[float]) -> Tensor:
    """Frequencies around one, on the grid of axes that close; (j, axes)."""
    lines = []
    for w, axis in zip(peak, axes, strict=True):
        if axis.axis.kernel == 1:  # any window will do
            lines.append(torch.zeros((1,), dtype=torch.float64))
            continue
        step = 2 * math.pi / axis.effective
        line = w + step * torch.tensor(offsets, dtype=torch.float64)
        if axis.period:
            line = torch.unique(torch.round(line / step)) * step
        lines.append(line)
    return torch.cartesian_prod(*lines).reshape(-1, len(axes))


def _ritz(space: WaveSpace, count: int) -> tuple[Tensor, Tensor]:
    """Roots of the largest values of ``product - theta gram``, and coefficients."""
    gram, product = space.gram(), space.product_gram()
    scale = gram.diagonal().real.sqrt()
    scale = torch.where(scale > 0, 1 / scale, 0.0)
    lengths, basis = torch.linalg.eigh(gram * scale * scale[:, None])
    kept = lengths > DEPENDENT * lengths[-1]
    basis = scale[:, None] * basis[:, kept] / lengths[kept].sqrt()
    theta, y = torch.linalg.eigh(basis.mH @ product @ basis)
    rows = (basis @ y.flip(1)[:, :count]).T
    return theta.flip(0)[:count].clamp(min=0).sqrt(), rows
