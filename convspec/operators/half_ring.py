"""Axes whose padding continues signals as waves: halves of rings.

Half-sample symmetric padding (and replicate padding of one pixel) continues the pixels of
an axis as a signal that is even about -1/2 and n - 1/2, so of a ring of 2 n. One zero on
each side continues them as one that is odd about -1 and n, of a ring of 2 (n + 1). The
convolution of the ring keeps signals of one parity if the kernel of each output channel
has one: even or odd about some place. Where the outputs are just what determines such a
signal, the axis is taken to frequencies as a ring is, by cosines and sines:

    (A cos(w (q - a)) v)(p) = cos or sin(w (p - b)) K(w) v,   w = pi k / N,

a and b the centres of pixels and outputs, N half of the ring, K the sum of taps times
``cos(w (q - c))`` or ``sin(w (q - c))``, q their lags, and ``c = a - b`` the centre of
the kernel.

Source: Strang, "The discrete cosine transform", SIAM Review 41, 1999; Martucci,
"Symmetric convolution and the discrete sine and cosine transforms", IEEE Trans. Signal
Process. 42, 1994.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convspec.arrays import FloatArray, IntArray
from convspec.operators.reads import Reads
from convspec.rounding.directed import square_root, up

__all__ = ["HalfRing", "Waves", "half_ring"]

# kernels have a parity up to some roundings
ROUNDINGS = 16


@dataclass(frozen=True)
class Waves:
    """Cosines or sines on the places 0, 1, ... of a line, an orthonormal family.

    ``cos(pi k (p - b) / N)`` or the sine of that, times ``sqrt(2 / N)``, or the root of
    half as much for a wave that is the same at all places. A wave that is 0 is no member.

    Attributes:
        half: N, half of the ring.
        centre: 2 b.
        odd: Whether these are sines.
        length: How many places there are.
        first: The least k.
        count: How many k there are.
    """

    half: int
    centre: int
    odd: bool
    length: int
    first: int
    count: int

    @property
    def frequencies(self) -> IntArray:
        """All k."""
        return np.arange(self.first, self.first + self.count)

    def taken(self, signals: Tensor, dim: int) -> Tensor:
        """The coefficients of signals along a dimension."""
        moved = signals.movedim(dim, -1)
        place, sign = self._ring
        ring = moved[..., torch.from_numpy(place).to(signals.device)]
        ring = ring * torch.from_numpy(sign).to(ring.device, _real(ring))
        found = self._spectrum(ring)[..., self.first : self.first + self.count]
        found = found * torch.from_numpy(self._scales / 2).to(found.device, _real(found))
        return found.movedim(-1, dim)

    def _spectrum(self, ring: Tensor) -> Tensor:
        """``sum_q x_q cos(w (q - b))`` at all w, or sines."""
        if ring.is_complex():
            return torch.complex(self._spectrum(ring.real), self._spectrum(ring.imag))
        turned = torch.fft.rfft(ring) * self._turns.to(ring.device)
        found: Tensor = -turned.imag if self.odd else turned.real
        return found

    def placed(self, coefficients: Tensor, dim: int) -> Tensor:
        """The signals of such coefficients along a dimension."""
        moved = coefficients.movedim(dim, -1)
        scale = torch.from_numpy(self._scales).to(moved.device, _real(moved))
        pads = self.first, self.half + 1 - self.first - self.count
        moved = torch.nn.functional.pad(moved * scale, pads)
        return self._signal(moved)[..., : self.length].movedim(-1, dim)

    def _signal(self, scaled: Tensor) -> Tensor:
        """``sum_k c_k cos(w_k (p - b))`` on the ring, or sines."""
        if scaled.is_complex():
            return torch.complex(self._signal(scaled.real), self._signal(scaled.imag))
        turned = scaled * self._turns.conj().to(scaled.device)
        turned = -1j * turned if self.odd else turned
        twice = torch.full((self.half + 1,), float(self.half), dtype=torch.float64)
        twice[[0, -1]] *= 2  # all others come with their conjugates
        ring = turned * twice.to(turned.device)
        found: Tensor = torch.fft.irfft(ring, n=2 * self.half)
        return found

    @cached_property
    def _turns(self) -> Tensor:
        """``exp(i w b)`` at all w of the ring up to its half; (N + 1,)."""
        turns = self.centre * np.arange(self.half + 1) % (4 * self.half)
        return torch.from_numpy(np.exp(0.5j * np.pi * turns / self.half))

    @cached_property
    def _ring(self) -> tuple[IntArray, FloatArray]:
        """Which place stands at each of the ring, and with what sign; (2 N,) each."""
        ring = np.arange(2 * self.half)
        mirror = (self.centre - ring) % (2 * self.half)
        here, there = ring < self.length, mirror < self.length
        place = np.where(here, ring, np.where(there, mirror, 0))
        sign = np.where(here, 1.0, np.where(there, -1.0 if self.odd else 1.0, 0.0))
        return place, sign

    @cached_property
    def _scales(self) -> FloatArray:
        """What makes each wave one of length 1, or 0; (count,)."""
        k = self.frequencies
        ends = (k == 0) | (k == self.half)
        scales = np.where(ends, math.sqrt(1 / self.half), math.sqrt(2 / self.half))
        scales[(k == 0) & self.odd] = 0
        return scales


@dataclass(frozen=True)
class HalfRing:
    """An axis that is taken to frequencies by cosines and sines.

    Attributes:
        read: The axis.
        pixels: Its waves.
        kinds: The waves of outputs that occur.
        which: The kind of each output channel; (C_out,).
        distance: Bound on the norm of what the operator of kernels of this parity differs
            by, without how often other axes show a pixel.
    """

    read: Reads
    pixels: Waves
    kinds: tuple[Waves, ...]
    which: IntArray
    distance: float

    @property
    def frequencies(self) -> IntArray:
        """All k."""
        return self.pixels.frequencies

    def table(self) -> FloatArray:
        """What each tap of each output channel contributes: (C_out, k', frequencies)."""
        found = np.empty((len(self.kinds), len(self.read.taps), self.pixels.count))
        half = self.pixels.half
        for place, kind in enumerate(self.kinds):
            centre = self.pixels.centre - kind.centre
            turns = np.multiply.outer(2 * self.read.lags - centre, self.frequencies)
            angles = np.pi * (turns % (4 * half)) / (2 * half)
            if kind.odd == self.pixels.odd:
                found[place] = np.cos(angles)
            else:
                found[place] = np.sin(angles) * (-1 if kind.odd else 1)
                found[place][turns % (2 * half) == 0] = 0  # exactly
        table: FloatArray = found[self.which]
        return table


def half_ring(read: Reads, weight: Tensor, dim: int) -> HalfRing | None:
    """The axis as half of a ring, or None if it or the kernel is none.

    Args:
        read: The axis.
        weight: (C_out, C_in / groups, ...) at the taps of ``read.taps``.
        dim: The dimension of the weight that these are.
    """
    if read.axis.stride != 1 or len(read.pixels) != read.axis.size or read.single:
        return None
    if not weight.detach().any():
        return None
    for pixels in _continued(read):
        found = _with_kernel(read, weight.detach().movedim(dim, 2), pixels)
        if found is not None:
            return found
    return None


def _continued(read: Reads) -> Iterator[Waves]:
    """The ways in which padding continues the pixels as waves."""
    size, at = read.axis.size, read.coordinates
    even = at % (2 * size)
    if (read.source == np.minimum(even, 2 * size - 1 - even)).all():
        yield Waves(size, -1, False, size, 0, size)
    inside = (at >= 0) & (at < size)
    if ((at >= -1) & (at <= size)).all() and (
        read.source == np.where(inside, at, -1)
    ).all():
        yield Waves(size + 1, -2, True, size, 1, size)


def _with_kernel(read: Reads, weight: Tensor, pixels: Waves) -> HalfRing | None:
    """The axis with a kind of waves for each output channel, if each has one.

    Args:
        read: The axis.
        weight: (C_out, C_in, k', ...).
        pixels: How the pixels are continued.
    """
    if len(weight) > 1 and _with_kernel(read, weight[:1], pixels) is None:
        return None  # one output channel tells most
    which = np.full(len(weight), -1, dtype=np.int64)
    kinds: list[Waves] = []
    size = weight.abs().flatten(1).amax(dim=1)
    allowed = ROUNDINGS * torch.finfo(weight.dtype).eps * size
    most = 0.0
    for waves in _outputs(read, pixels):
        off = _off(read, weight, pixels.centre - waves.centre, waves.odd != pixels.odd)
        good = (off.abs().flatten(1).amax(dim=1) <= allowed).numpy(force=True)
        new = good & (which < 0)
        if new.any():
            which[new] = len(kinds)
            kinds.append(waves)
            some = off[torch.from_numpy(new).to(off.device)].transpose(1, 2).flatten(2)
            size_off = _norm(some.transpose(0, 1), read.axis.most_reads)
            most = up(most + size_off) if size_off else most
        if (which >= 0).all():
            return HalfRing(read, pixels, tuple(kinds), which, most)
    return None


def _outputs(read: Reads, pixels: Waves) -> Iterator[Waves]:
    """Waves that outputs determine: all places between two centres, or zeros there."""
    count, half = read.outputs, pixels.half
    if read.outputs != read.axis.output:
        return
    waves = replace(pixels, length=count)
    if count == half:
        yield replace(waves, centre=-1, odd=False)
        yield replace(waves, centre=-1, odd=True)
    for before in (0, 1):  # places on the first centre, and behind on the second
        if count - before in (half - 1, half):
            yield replace(waves, centre=-2 * (1 - before), odd=True)


def _off(read: Reads, weight: Tensor, centre: int, odd: bool) -> Tensor:
    """What a kernel differs by from one of a parity about a centre, half; as the weight.

    Where a tap has no partner it is infinite, unless it is 0.
    """
    lags = read.lags
    partner = centre - lags
    place = np.searchsorted(lags, partner).clip(max=len(lags) - 1)
    there: npt.NDArray[np.bool_] = lags[place] == partner
    mirror = weight.index_select(2, torch.from_numpy(place).to(weight.device))
    off = (weight + mirror if odd else weight - mirror) / 2
    alone = torch.from_numpy(np.flatnonzero(~there)).to(weight.device)
    off[:, :, alone] = torch.where(weight[:, :, alone] == 0, 0.0, math.inf).to(off)
    return off


def _norm(taps: Tensor, reads: int) -> float:
    """``sum_t ||E_t||_F`` times how often one shows a pixel; (k', ...)."""
    if not taps.any():
        return 0.0
    lengths = torch.linalg.vector_norm(taps.flatten(1).to(_wide(taps)), dim=1)
    return up(float(lengths.sum()) * (1 + 1e-12) * square_root(reads), 2)


def _wide(x: Tensor) -> torch.dtype:
    return torch.complex128 if x.is_complex() else torch.float64


def _real(x: Tensor) -> torch.dtype:
    return x.dtype.to_real() if x.is_complex() else x.dtype
