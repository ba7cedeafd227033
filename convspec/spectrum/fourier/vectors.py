"""Singular vectors of block-circulant operators, from the blocks of single frequencies.

On the torus ``exp(i <w, p>) v`` is mapped to ``exp(i <w, p>) F(w) v``, so each singular
triple of F(w) is one of A, over the square root of the number of frequencies. Real
kernels pair w with -w: the triple's real and imaginary parts, times ``sqrt(2)``, are two
real triples. Where ``w = -w`` the block itself is real, and so are its vectors.

Only the frequencies of the triples asked for are decomposed. Values that no block gives
are zeros by structure: their vectors complete both families, out of pixels that nothing
reads, outputs that read nothing or the same, and the longer sides of the blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import FloatArray, IntArray
from convspec.frequency.conjugate import conjugate_half
from convspec.operators.operator import ConvOperator
from convspec.operators.reduce import Reduction
from convspec.spectrum.fourier.axis_basis import Atoms, AxisBasis
from convspec.spectrum.fourier.values import frequency_values

__all__ = ["fourier_vectors"]

# images are built this many bytes at a time, beside the result
IMAGE_BYTES = 2**26


def fourier_vectors(
    op: ConvOperator, count: int, which: str
) -> tuple[FloatArray, float, Tensor, Tensor]:
    """The ``count`` largest or smallest singular triples of A, descending.

    Args:
        op: The operator, block circulant (no ``fourier_obstacle``).
        count: How many triples.
        which: ``"largest"`` or ``"smallest"``.

    Returns:
        values (count,), a bound on the error of each, left (count, *output_shape) and
        right (count, *input_shape).
    """
    reduced = Reduction.of(op)
    values, multiplicity, error = frequency_values(reduced)
    spread = np.repeat(values, multiplicity, axis=0).reshape(-1)
    every = np.multiply.outer(spread, reduced.scales[reduced.scales > 0]).reshape(-1)
    order = np.argsort(-every, kind="stable")
    length = min(op.shape)
    places = np.arange(count) if which == "largest" else np.arange(length - count, length)
    live, zeros = places[places < len(order)], places[places >= len(order)] - len(order)
    chosen = np.zeros(count)
    chosen[: len(live)] = every[order[live]]
    torus = _Torus(op, reduced)
    sides = _Side(torus, True), _Side(torus, False)
    families = [side.blank(count) for side in sides]
    triples = torus.atoms(order[live], min(torus.symbol.block_shape))
    for frequency, run in triples.runs():
        for side, images, basis in zip(
            sides, families, torus.decompose(frequency), strict=True
        ):
            side.write(images, basis, triples, run)
    for side, images in zip(sides, families, strict=True):
        side.complete(images[len(live) :], zeros)
    if op.transposed:
        # A^T u* = sigma v* from A v = sigma u
        families = [images.conj().resolve_conj() for images in families[::-1]]
    error = reduced.error(float(values.max()), error)
    return chosen, error, families[0], families[1]


class _Torus:
    """What both sides share: the frequencies, their blocks, and the axes."""

    def __init__(self, op: ConvOperator, reduced: Reduction) -> None:
        self.op = op
        self.reduced = reduced
        self.real = not reduced.weight.is_complex()
        self.shape = tuple(axis.outputs for axis in reduced.kept)
        self.symbol = reduced.symbol
        self.index, self.multiplicity = conjugate_half(self.shape, not self.real)
        self.first = np.cumsum(self.multiplicity) - self.multiplicity
        self.inputs = [AxisBasis.of_pixels(read) for read in reduced.axes]
        self.outputs = [AxisBasis.of_outputs(read) for read in reduced.axes]

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the blocks."""
        return self.reduced.weight.dtype.to_complex()

    @cached_property
    def members(self) -> IntArray:
        """The frequency of each member of a pair; (all frequencies,)."""
        return np.repeat(np.arange(len(self.index)), self.multiplicity)

    def own_mirror(self, frequency: int) -> bool:
        """Whether ``w = -w`` for real weights, so that the block is real."""
        return self.real and int(self.multiplicity[frequency]) == 1

    def decompose(self, frequency: int) -> tuple[Tensor, Tensor]:
        """U and V of each group's block: (groups, r, min), (groups, c, min)."""
        block = self.symbol.at_grid(self.index[frequency : frequency + 1], self.shape)[0]
        block = block.to(self.dtype)
        if self.own_mirror(frequency):
            u, _, vh = torch.linalg.svd(block.real, full_matrices=False)
        else:
            u, _, vh = torch.linalg.svd(block, full_matrices=False)
        return u.to(self.dtype), vh.mH.to(self.dtype)

    def atoms(self, flat: IntArray, per_block: int) -> Atoms:
        """The atoms at places in (frequencies, groups, per_block, *lines)."""
        axes = list(zip(self.inputs, self.reduced.axes, strict=True))
        counts = [basis.triples for basis, read in axes if read.single]
        shape = (len(self.members), self.reduced.groups, per_block, *counts)
        member, group, column, *lines = np.unravel_index(flat, shape)
        frequency = self.members[member]
        second = member - self.first[frequency]
        line = iter(lines)
        each = tuple(next(line) if read.single else None for _, read in axes)
        return Atoms(frequency, second, group, column, each)


class _Side:
    """Left or right singular vectors as images."""

    def __init__(self, torus: _Torus, left: bool) -> None:
        self.torus = torus
        self.left = left
        geometry = torus.op.geometry
        self.bases = torus.outputs if left else torus.inputs
        self.sizes = geometry.outputs if left else geometry.sizes
        channels = torus.reduced.block_channels
        self.channels = channels[0] if left else channels[1]
        rows, columns = torus.symbol.block_shape
        self.extra = max(0, rows - columns if left else columns - rows)
        self.dtype = torus.dtype.to_real() if torus.real else torus.dtype

    def blank(self, count: int) -> Tensor:
        """Images of zeros, (count, *shape)."""
        shape = (count, self.torus.reduced.groups * self.channels, *self.sizes)
        device = self.torus.reduced.weight.device
        return torch.zeros(shape, dtype=self.dtype, device=device)

    def complete(self, images: Tensor, places: IntArray) -> None:
        """Write what no triple reaches: first off the torus, then within its blocks."""
        if not len(places):
            return
        off = self._off_torus
        apart = int((places < len(off)).sum())  # places ascend
        images[:apart] = self._units(off[places[:apart]]).to(images)
        atoms = self.torus.atoms(places[apart:] - len(off), self.extra or 1)
        for frequency, run in atoms.runs():
            basis = self._completion(frequency)
            self.write(images[apart:], basis, atoms, run)

    @cached_property
    def _off_torus(self) -> IntArray:
        """Flat places (channel, *basis vectors) that belong to no triple of some axis."""
        outside = np.zeros((1,), dtype=bool)
        for basis in self.bases:
            beyond = np.arange(len(basis.vectors)) >= basis.triples
            outside = np.logical_or.outer(outside, beyond)
        channels = self.torus.reduced.groups * self.channels
        outside = np.broadcast_to(outside, (channels, *outside.shape[1:]))
        return np.flatnonzero(outside)

    def _units(self, flat: IntArray) -> Tensor:
        """One channel, and on each axis one vector of its basis."""
        channels = self.torus.reduced.groups * self.channels
        channel, *lines = np.unravel_index(flat, (channels, *self.sizes))
        images = np.zeros((len(flat), channels, *[1] * len(self.sizes)))
        images[np.arange(len(flat)), channel] = 1
        return self._times_lines(torch.from_numpy(images), lines)

    def _times_lines(self, images: Tensor, lines: Sequence[IntArray | None]) -> Tensor:
        """Images of length 1 along some axes, times a basis vector along each."""
        for j, (basis, line) in enumerate(zip(self.bases, lines, strict=True)):
            if line is not None:
                rows = torch.as_tensor(basis.rows(line), device=images.device)
                shape = [len(line)] + [1] * (images.ndim - 1)
                shape[2 + j] = rows.shape[1]
                images = images * rows.reshape(shape).to(images.dtype)
        return images

    def write(self, images: Tensor, basis: Tensor, atoms: Atoms, run: IntArray) -> None:
        """Write the images of some atoms, all of one frequency, of this basis."""
        at_once = max(1, IMAGE_BYTES // (32 * math.prod(images.shape[1:])))
        for start in range(0, len(run), at_once):
            some = run[start : start + at_once]
            place = torch.as_tensor(some, device=images.device)
            images[place] = self._waves(basis, atoms, some)

    def _completion(self, frequency: int) -> Tensor:
        """Vectors that complete one frequency's basis.

        Of the same decomposition, since vectors of zero values are not unique.
        """
        basis = self.torus.decompose(frequency)[0 if self.left else 1]
        if self.torus.own_mirror(frequency):
            basis = basis.real
        complete: Tensor = torch.linalg.qr(basis, mode="complete")[0]
        return complete[..., basis.shape[-1] :].to(self.torus.dtype)

    def _waves(self, basis: Tensor, atoms: Atoms, some: IntArray) -> Tensor:
        """Images ``exp(i <w, p>) v``, or their real or imaginary parts."""
        torus = self.torus
        device = basis.device
        frequency = int(atoms.frequency[some[0]])
        group = torch.as_tensor(atoms.group[some], device=device)
        column = torch.as_tensor(atoms.column[some], device=device)
        vectors = basis.mT[group, column]  # (images, channels * phases)
        images = self._on_pixels(vectors, torus.index[frequency])
        if torus.own_mirror(frequency):
            images = images.real
        elif torus.real:
            second = torch.as_tensor(atoms.second[some] == 1, device=device)
            second = second.reshape(-1, *[1] * (images.ndim - 1))
            images = math.sqrt(2) * torch.where(second, images.imag, images.real)
        placed = images.new_zeros(len(some), torus.reduced.groups, *images.shape[1:])
        placed[torch.arange(len(some), device=device), group] = images
        lines = [line if line is None else line[some] for line in atoms.lines]
        return self._times_lines(placed.flatten(1, 2), lines)

    def _on_pixels(self, vectors: Tensor, index: IntArray) -> Tensor:
        """Vectors of (channels, *phases) times the wave: (images, channels, *sizes).

        Axes that factor out get length 1; pixels that nothing reads stay 0.
        """
        torus = self.torus
        axes = list(zip(torus.reduced.axes, self.sizes, strict=True))
        kept = [(read, length) for read, length in axes if not read.single]
        strides = [1 if self.left else read.pixels_per_output for read, _ in kept]
        images = vectors.reshape(len(vectors), self.channels, *strides)
        images = images / math.sqrt(math.prod(torus.shape))
        for j, (read, length) in enumerate(kept):
            size = read.outputs
            turns = index[j] * np.arange(size) % size
            wave = torch.as_tensor(np.exp(2j * np.pi * turns / size)).to(images)
            # (.., phase, ..) -> (.., position, phase, ..) -> (.., pixel, ..)
            axis = 2 + j
            shape = [1] * (images.ndim + 1)
            shape[axis] = size
            images = images.unsqueeze(axis) * wave.reshape(shape)
            images = images.flatten(axis, axis + 1)
            if not self.left:
                images = _spread(images, axis, read.pixels, length)
        for j, (read, _) in enumerate(axes):
            if read.single:
                images = images.unsqueeze(2 + j)
        return images


def _spread(images: Tensor, axis: int, pixels: IntArray, length: int) -> Tensor:
    """Put the pixels of one axis where they belong on a line of some length."""
    if length == len(pixels):
        return images
    shape = [*images.shape]
    shape[axis] = length
    place = torch.as_tensor(pixels, device=images.device)
    return images.new_zeros(shape).index_copy(axis, place, images)
